import shutil

import pytest

from wsss.core import digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package whose files can be edited."""
    root = tmp_path / "wsss"
    shutil.copytree(digest.ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "ROOT", root)
    _forget()
    yield root
    monkeypatch.undo()
    _forget()


def _forget():
    for cached in (digest.code_digest, digest.closure, digest._facts, digest._path):
        cached.cache_clear()


def edited(package, name, change):
    path = package / name
    path.write_text(change(path.read_text()))
    _forget()


def test_comments_docstrings_and_formatting_do_not_count(package):
    before = digest.code_digest("wsss.cam.extraction")
    edited(
        package, "cam/extraction.py", lambda s: s.replace("def extract(", "# why\n\n\ndef extract(")
    )
    edited(
        package, "cam/extraction.py", lambda s: '"""Another docstring."""\n' + s.split('"""', 2)[2]
    )
    assert digest.code_digest("wsss.cam.extraction") == before


def test_messages_do_not_count(package):
    before = digest.code_digest("wsss.crf.refine")
    for file, old, new in (
        (
            "crf/refine.py",
            'UserError(\n            f"',
            'UserError(\n            f"{len(source)}: ',
        ),
        ("crf/refine.py", 'what="', 'what="all of '),
        ("crf/recipe.py", 'description="', 'description="In short: '),
        ("crf/refine.py", "import UserError\n", "import UserError, cannot_write\n"),
    ):
        assert old in (package / file).read_text()
        edited(package, file, lambda s, old=old, new=new: s.replace(old, new))
    assert digest.code_digest("wsss.crf.refine") == before
    edited(package, "crf/recipe.py", lambda s: s.replace("Field(10, desc", "Field(11, desc"))
    assert digest.code_digest("wsss.crf.refine") != before


def test_a_changed_number_counts_for_its_stage_and_no_other(package):
    before = {m: digest.code_digest(m) for m in ("wsss.cam.extraction", "wsss.affinity.labels")}
    edited(package, "cam/extraction.py", lambda s: s.replace("1e-5", "1e-4"))
    assert digest.code_digest("wsss.cam.extraction") != before["wsss.cam.extraction"]
    assert digest.code_digest("wsss.affinity.labels") == before["wsss.affinity.labels"]


def test_a_changed_foundation_counts_where_it_is_imported(package):
    before = {m: digest.code_digest(m) for m in ("wsss.cam.extraction", "wsss.crf.refine")}
    edited(package, "nn/inference.py", lambda s: s + "\nEXTRA = 1\n")
    assert digest.code_digest("wsss.cam.extraction") != before["wsss.cam.extraction"]
    assert digest.code_digest("wsss.crf.refine") == before["wsss.crf.refine"]


def test_command_lines_and_logging_do_not_count(package):
    before = digest.code_digest("wsss.cam.extraction")
    edited(package, "cam/cli.py", lambda s: s + "\nEXTRA = 1\n")
    edited(package, "core/log.py", lambda s: s + "\nEXTRA = 1\n")
    assert digest.code_digest("wsss.cam.extraction") == before


def test_no_package_init_computes():
    import ast

    for path in digest.ROOT.rglob("__init__.py"):
        for node in ast.parse(path.read_text()).body:
            allowed = ast.Expr | ast.Import | ast.ImportFrom | ast.Assign
            assert isinstance(node, allowed), f"{path}: the digest does not see what it computes"
