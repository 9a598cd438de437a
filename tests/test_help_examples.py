"""The example in each command's help parses, and its recipe is one that the command takes."""

import json
import shlex

import pytest
import typer
from pydantic import TypeAdapter
from typer.testing import CliRunner

from wsss.cli import app
from wsss.core.errors import UserError

# tests/data/test_cli.py runs the examples of data; these show none, or none that has a recipe.
ELSEWHERE = {("data", None), ("weights", "fetch"), ("status", None), ("schema", None)}
JSON = ("--recipe", "--spec")

STAGES = typer.main.get_command(app).commands
COMMANDS = {
    (stage, name): command
    for stage, group in STAGES.items()
    for name, command in getattr(group, "commands", {None: group}).items()
    if not {(stage, name), (stage, None)} & ELSEWHERE
}
IDS = [" ".join(key) for key in COMMANDS]


@pytest.fixture(autouse=True)
def _without_a_file_of_the_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def example(key):
    """The words of an example behind `wsss <stage> <action>`."""
    words = shlex.split(COMMANDS[key].epilog.removeprefix("Example: "))
    assert words[:3] == ["wsss", *key]
    return words[3:]


def said(key, words):
    """What the command says that lacks its files; nothing where it needs none."""
    try:
        COMMANDS[key].main(words, standalone_mode=False)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("key", COMMANDS, ids=IDS)
def test_the_help_shows_it_whole(key):
    done = CliRunner().invoke(app, [*key, "--help"])
    assert " ".join(COMMANDS[key].epilog.split()) in " ".join(done.output.split())


@pytest.mark.parametrize("key", COMMANDS, ids=IDS)
def test_only_its_files_are_missing(key):
    words, message = example(key), said(key, example(key))
    if message:
        path, _, problem = message.partition(": ")
        assert "no such" in problem or "No such" in problem, message
        assert any(path in word for word in words), message


@pytest.mark.parametrize("key", [k for k in COMMANDS if set(JSON) & set(example(k))])
def test_a_wrong_recipe_would_be_told_before_a_missing_file(key):
    words = example(key)
    option = next(word for word in words if word in JSON)
    words[words.index(option) + 1] = json.dumps({"no-such-key": 1})
    assert said(key, words).startswith(f"{option}: ")


@pytest.mark.parametrize("key", [k for k in COMMANDS if (k[1] or "").startswith("train")])
def test_it_gives_the_files_that_its_recipe_asks_for(key, monkeypatch):
    validate, recipes = TypeAdapter.validate_json, []

    def keep(*arguments, **options):
        recipes.append(validate(*arguments, **options))
        return recipes[-1]

    monkeypatch.setattr(TypeAdapter, "validate_json", keep)
    words = example(key)
    said(key, words)
    (recipe,) = recipes
    assert ("--weights" in words) == (recipe.backbone.weights is not None)
    assert ("--hints" in words) == bool(getattr(recipe, "hints", None))
    assert ("--ordinary" in words) == bool(getattr(recipe, "ordinary", None))
