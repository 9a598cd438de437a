"""What is kept of sources between commands is right, or it is found again."""

import json

import pytest

from wsss.core.source_facts import NAME, STORE, Facts, SourceFacts


class Reader:
    """Reads sources, and counts how many."""

    def __init__(self):
        self.read = []

    def __call__(self, source):
        self.read.append(source)
        return Facts(f"digest of {source}", (f"wsss.{source}",))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    STORE.mkdir()
    return tmp_path


def facts(sources, reader="v1"):
    """Facts of modules as a new process finds them, and the sources that it had to read."""
    read = Reader()
    kept = SourceFacts(read, reader)
    found = {module: kept.of(module, source) for module, source in sources.items()}
    kept.save()
    assert found == {module: Reader()(source) for module, source in sources.items()}
    return read.read


def test_only_sources_that_changed_are_read_again():
    assert facts({"a": "x", "b": "y"}) == ["x", "y"]
    assert facts({"a": "x", "b": "y"}) == []
    assert facts({"a": "x", "b": "z"}) == ["z"]
    assert facts({"a": "x", "b": "z"}) == []


def test_other_code_that_reads_finds_all_again():
    facts({"a": "x"})
    assert facts({"a": "x"}, reader="v2") == ["x"]


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"reader": 1}', '{"modules": {"a": 1}}', '{"modules": {"a": [1, 2]}}'],
)
def test_a_damaged_file_is_read_past(damage):
    facts({"a": "x"})
    whole = json.loads((STORE / NAME).read_text())
    if damage.startswith('{"modules"'):
        damage = json.dumps(whole | json.loads(damage))
    (STORE / NAME).write_text(damage)
    assert facts({"a": "x"}) == ["x"]
    assert json.loads((STORE / NAME).read_text()) == whole


def test_nothing_is_kept_without_snakemakes_folder():
    STORE.rmdir()
    assert facts({"a": "x"}) == facts({"a": "x"}) == ["x"]
    assert not STORE.exists()
