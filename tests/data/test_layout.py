import json

import pytest

from wsss.core.errors import UserError
from wsss.core.recipe import parse_json
from wsss.data.recipe import DataRecipe


def sources(split, purpose=None, **fields):
    return parse_json(json.dumps(fields), DataRecipe).source_files(split, purpose)


def test_sources_of_generated_scenes():
    assert sources("train", kind="toy") == sources("val", "evaluation", kind="toy") == []


def test_sources_of_voc(voc):
    lists = voc / "ImageSets" / "Segmentation"
    recipe = {"kind": "voc", "root": str(voc)}
    # The XML files are a folder of thousands: only the list is named.
    assert sources("train", **recipe) == [str(lists / "train_aug.txt")]
    assert sources("val", **recipe) == [str(lists / "val.txt")]
    assert sources("train", "evaluation", **recipe) == [str(lists / "train.txt")]
    assert sources("train", "supervision", **recipe) == [str(lists / "train_aug.txt")]
    assert sources("val", "evaluation", **recipe) == [str(lists / "val.txt")]
    assert sources("val", "supervision", **recipe) == []
    (voc / "labels.csv").write_text("image,labels\n")
    both = sources("val", **recipe, labels="labels.csv")
    assert both == [str(lists / "val.txt"), str(voc / "labels.csv")]


def test_sources_of_a_folder(folder, folder_recipe, monkeypatch):
    monkeypatch.setenv("PARTS", str(folder))
    recipe = folder_recipe | {"root": "${PARTS}"}
    labels, masks = str(folder / "labels.csv"), str(folder / "train_masks.txt")
    assert sources("train", **recipe) == [str(folder / "train.txt"), labels]
    assert sources("train", "evaluation", **recipe) == [masks]
    assert sources("train", "supervision", **recipe) == [masks]
    bare = recipe | {"masks": None, "train_masks_list": None}
    assert sources("val", "evaluation", **bare) == []


def test_a_missing_source_is_left_to_the_job_that_tells_it(folder, folder_recipe):
    (folder / "labels.csv").unlink()
    assert sources("train", **folder_recipe) == [str(folder / "train.txt")]
    with pytest.raises(UserError, match="root: no folder '/nowhere/at/all'"):
        sources("train", **folder_recipe | {"root": "/nowhere/at/all"})
    with pytest.raises(UserError, match=r"root: '\$X': write an environment variable as \${X}"):
        sources("train", **folder_recipe | {"root": "$X"})


def test_images_are_counted_by_the_list(folder, folder_recipe):
    (folder / "train.txt").write_text("a\n\nb.jpg\nc\n")
    (folder / "val.txt").unlink()
    recipe = parse_json(json.dumps(folder_recipe), DataRecipe)
    assert recipe.image_count("train") == 3
    assert recipe.image_count("val") is None
    generated = parse_json(json.dumps({"kind": "toy", "train": 5, "val": 2}), DataRecipe)
    assert (generated.image_count("train"), generated.image_count("val")) == (5, 2)
