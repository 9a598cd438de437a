import json
import subprocess
import sys

import pytest

from wsss.core.errors import UserError
from wsss.core.recipe import parse_json
from wsss.data.recipe import VOC_CLASSES, DataRecipe, FolderData, ToyData, VocData


def error_of(recipe: dict | str) -> str:
    text = recipe if isinstance(recipe, str) else json.dumps(recipe)
    with pytest.raises(UserError) as caught:
        parse_json(text, DataRecipe)
    return str(caught.value)


def test_kind_chooses_the_recipe_and_json_comes_back():
    for text, kind in (
        ('{"kind": "toy"}', ToyData),
        ('{"kind": "voc", "root": "/x", "classes": ["dog", "cat"]}', VocData),
        ('{"kind": "folder", "root": "x", "classes": ["nut"]}', FolderData),
    ):
        recipe = parse_json(text, DataRecipe)
        assert type(recipe) is kind
        assert parse_json(recipe.to_json(), DataRecipe) == recipe


def test_class_names_in_the_order_given():
    assert parse_json('{"kind": "voc", "root": "x"}', DataRecipe).class_names == VOC_CLASSES
    assert len(VOC_CLASSES) == 20
    subset = parse_json('{"kind": "voc", "root": "x", "classes": ["dog", "cat"]}', DataRecipe)
    assert subset.class_names == ("dog", "cat")
    assert len(set(parse_json('{"kind": "toy", "classes": 8}', DataRecipe).class_names)) == 8


def test_variables_stay_unexpanded_in_the_recipe(monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/data")
    assert (
        '"root":"${SOMEWHERE}/voc"'
        in parse_json('{"kind": "voc", "root": "${SOMEWHERE}/voc"}', DataRecipe).to_json()
    )


FOLDER = {"kind": "folder", "root": "nowhere", "classes": ["a"]}
VOC = {"kind": "voc", "root": "nowhere"}


@pytest.mark.parametrize(
    ("recipe", "evaluated", "supervised"),
    [
        ({"kind": "toy"}, "train val", True),
        (VOC, "train val", True),
        (VOC | {"train_masks_list": None}, "val", True),
        (VOC | {"supervision_masks": None}, "train val", False),
        (VOC | {"evaluation_masks": None}, "", True),
        (VOC | {"evaluation_masks": None, "supervision_masks": None}, "", False),
        (FOLDER, "", False),
        (FOLDER | {"masks": "masks"}, "val", False),
        (FOLDER | {"masks": "masks", "train_masks_list": "t.txt"}, "train val", True),
    ],
)
def test_masks_are_known_without_reading_a_file(recipe, evaluated, supervised):
    data = parse_json(json.dumps(recipe), DataRecipe)
    splits = ("train", "val")
    assert [s for s in splits if data.masks_for(s, "evaluation")] == evaluated.split()
    assert data.masks_for("train", "supervision") is supervised
    assert not data.masks_for("val", "supervision")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{", "--recipe: "),
        ({}, "--recipe: kind: missing; give toy or voc or folder"),
        (
            {"kind": "vok"},
            "--recipe: kind: 'vok' is none of toy, voc, folder (did you mean 'voc'?)",
        ),
        ({"kind": "toy", "sede": 3}, "--recipe: sede: unknown key (did you mean 'seed'?)"),
        ({"kind": "toy", "scale_min": 0.9}, "scale_min 0.9 is above scale_max"),
        ({"kind": "voc"}, "--recipe: root: missing; give it a value"),
        (
            {"kind": "voc", "root": "x", "classes": ["cta"]},
            "'cta' is not a VOC class (did you mean",
        ),
        ({"kind": "voc", "root": "x", "classes": ["cat", "cat"]}, "'cat' comes twice"),
        ({"kind": "voc", "root": "x", "classes": []}, "an empty list"),
        ({"kind": "voc", "root": "x", "labels": "l.xls"}, "labels 'l.xls': expected 'xml' or a"),
        ({"kind": "folder", "root": "x", "classes": ["background"]}, "id 0 is background"),
        (FOLDER | {"train_masks_list": "t.txt"}, "train_masks_list without masks; name their"),
    ],
)
def test_mistakes_are_one_line_each(recipe, message):
    text = error_of(recipe)
    assert message in text
    assert "\n" not in text


def test_two_mistakes_are_two_lines():
    assert len(error_of({"kind": "toy", "size": 3, "classes": 99}).splitlines()) == 2


def test_public_names_of_the_package():
    import wsss.data

    assert {"ToyData", "VocData", "FolderData", "Data", "generate"} <= set(wsss.data.__all__)
    assert all(getattr(wsss.data, name) is not None for name in wsss.data.__all__)


def test_recipes_and_help_import_nothing_heavy():
    code = (
        "import sys, wsss.data.recipe, wsss.data.layout, wsss.data.cli;"
        "print([m for m in ('numpy', 'torch', 'h5py', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
