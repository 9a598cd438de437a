from pathlib import Path

import pytest
import yaml

from wsss.core.configfile import load, locate, read_recipe, resolve
from wsss.core.errors import UserError
from wsss.workflow.loading import parse


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_extends_merges_nested_keys_one_by_one(tmp_path):
    file = write(
        tmp_path / "c.yaml",
        "cam:\n  a: {x: 1, deep: {p: 1, q: [1, 2]}}\n  b: {extends: a, deep: {q: [3]}}\n"
        "  c: {extends: b, x: 2}\n",
    )
    assert read_recipe([file], "cam", "c") == {"x": 2, "deep": {"p": 1, "q": [3]}}


@pytest.mark.parametrize(
    ("recipes", "says"),
    [
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "circle: a -> b -> a"),
        ({"a": {"extends": "a"}}, "circle: a -> a"),
        ({"a": {"extends": "vanila"}, "vanilla": {}}, "did you mean 'vanilla'"),
        ({"a": 3}, "expected keys and values"),
        ({}, "no recipe 'a'"),
    ],
)
def test_wrong_extends_is_one_line(recipes, says):
    with pytest.raises(UserError, match=says) as caught:
        resolve({"cam": recipes}, "cam", "a")
    assert "\n" not in str(caught.value)


def test_use_lays_a_study_over_recipe_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "base.yaml", "cam:\n  a: {x: 1, y: 1}\n  b: {x: 2}\n")
    study = write(tmp_path / "study.yaml", "use: [base.yaml]\ncam:\n  a: {x: 5}\n")
    assert load([study]) == {"cam": {"a": {"x": 5}, "b": {"x": 2}}}
    with pytest.raises(UserError, match=r"no file 'nowhere\.yaml'"):
        load([write(tmp_path / "s.yaml", "use: [nowhere.yaml]\n")])


def test_exponents_without_a_dot_are_numbers(tmp_path):
    file = write(tmp_path / "c.yaml", "cam:\n  a: {lr: 1e-3, name: e-3, list: [2E5]}\n")
    assert read_recipe([file], "cam", "a") == {"lr": 0.001, "name": "e-3", "list": [200000.0]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", r"c\.yaml:3: key 'a' is written twice \(first on line 1\)"),
        ("a: [1\nb: 2\n", r"c\.yaml:2: not valid YAML"),
        ("- 1\n", "expected sections"),
        ("a: {[1, 2]: 3}\n", r"c\.yaml:1: not valid YAML"),
    ],
)
def test_broken_yaml_names_the_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        load([write(tmp_path / "c.yaml", text)])


def test_locate_finds_the_deepest_key(tmp_path):
    file = write(tmp_path / "c.yaml", "cam:\n  a:\n    x: 1\n    deep:\n      q: 2\n")
    assert locate([file], ("cam", "a", "deep", "q")).endswith("c.yaml:5")
    assert locate([file], ("cam", "a", "missing")).endswith("c.yaml:2")
    assert locate([file], ("nothing",)) == ""


def test_a_key_written_twice_in_a_study_is_refused_though_snakemake_read_it(tmp_path):
    file = write(tmp_path / "s.yaml", "seeds: [0]\nseeds: [1]\n")
    with pytest.raises(UserError, match=r"s\.yaml:2: key 'seeds' is written twice"):
        parse(yaml.safe_load(file.read_text()), [file])
