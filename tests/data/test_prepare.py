import json
import logging

import numpy as np
import pytest
from PIL import Image

from wsss.core.digest import closure
from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MaskReader
from wsss.core.images import decode, palette_png
from wsss.core.recipe import parse_json
from wsss.data.prepare import prepare_images, prepare_masks
from wsss.data.recipe import DataRecipe
from wsss.data.toy.scene import generate

PRESENT = ["cat", "dog", "person"]  # the classes of the small devkit's train images


def recipe_of(**fields):
    return parse_json(json.dumps(fields), DataRecipe)


@pytest.fixture
def small_toy():
    return recipe_of(kind="toy", train=5, val=3, size=32, classes=2)


def test_toy_images_and_masks(tmp_path, small_toy):
    out, truth = tmp_path / "train.h5", tmp_path / "train.masks.h5"
    assert prepare_images(small_toy, "train", out) == 5
    assert prepare_masks(small_toy, "train", "evaluation", out, truth) == 5
    with ImageReader(out) as images, MaskReader(truth) as masks:
        assert images.header.split == masks.header.split == "train"
        assert images.header.classes == masks.header.classes == small_toy.class_names
        assert images.header.recipe == masks.header.recipe == small_toy.to_json()
        assert masks.header.extra == {"purpose": "evaluation"}
        assert images.ids == masks.ids
        for i, record in enumerate(images):
            scene = generate(small_toy, "train", i)
            assert np.array_equal(decode(record.data), scene.image)
            assert np.array_equal(record.labels, scene.labels)
            assert np.array_equal(masks[record.id], scene.mask)


def test_two_runs_and_any_number_of_workers_give_the_same_bytes(tmp_path, small_toy):
    files = []
    for run, workers in enumerate((1, 1, 2)):
        out, truth = tmp_path / f"{run}.h5", tmp_path / f"{run}.masks.h5"
        prepare_images(small_toy, "val", out, workers)
        prepare_masks(small_toy, "val", "evaluation", out, truth)
        files.append((out.read_bytes(), truth.read_bytes()))
    assert files[0] == files[1] == files[2]


def test_voc_keeps_bytes_order_and_labels(tmp_path, voc):
    recipe = recipe_of(kind="voc", root=str(voc), classes=PRESENT)
    assert prepare_images(recipe, "train", tmp_path / "t.h5") == 3
    with ImageReader(tmp_path / "t.h5") as images:
        assert images.ids == ["2007_000001", "2007_000002", "2007_000003"]
        assert images.sizes == [(12, 16)] * 3
        stored = images["2007_000002"]
        assert stored.data == (voc / "JPEGImages" / "2007_000002.jpg").read_bytes()
        assert {images.header.classes[c] for c in np.flatnonzero(stored.labels)} == {"cat", "dog"}


def test_voc_evaluation_and_supervision_are_other_masks_of_other_ids(tmp_path, voc):
    recipe = recipe_of(kind="voc", root=str(voc), classes=PRESENT)
    images = tmp_path / "t.h5"
    prepare_images(recipe, "train", images)
    assert prepare_masks(recipe, "train", "evaluation", images, tmp_path / "e.h5") == 2
    assert prepare_masks(recipe, "train", "supervision", images, tmp_path / "s.h5") == 3
    with MaskReader(tmp_path / "e.h5") as careful, MaskReader(tmp_path / "s.h5") as coarse:
        assert (careful["2007_000002"][0] == 255).all()
        assert set(np.unique(coarse["2007_000002"])) == {1, 2}
        assert "2007_000003" in coarse and "2007_000003" not in careful


def test_voc_subset(tmp_path, voc):
    recipe = recipe_of(kind="voc", root=str(voc), classes=["dog", "cat"])
    images = tmp_path / "t.h5"
    assert prepare_images(recipe, "train", images) == 2  # the person is left out
    prepare_masks(recipe, "train", "supervision", images, tmp_path / "s.h5")
    with ImageReader(images) as read, MaskReader(tmp_path / "s.h5") as masks:
        assert read.labels.tolist() == [[0, 1], [1, 1]]
        assert set(np.unique(masks["2007_000001"])) == {0, 2}
        assert set(np.unique(masks["2007_000002"])) == {1, 2}
    kept = recipe_of(kind="voc", root=str(voc), classes=["dog", "cat"], keep_unlabelled=True)
    assert prepare_images(kept, "train", images) == 3
    with ImageReader(images) as read:
        assert read.labels[2].tolist() == [0, 0]


def test_val_keeps_the_images_of_none_of_the_classes(tmp_path, voc, folder, folder_recipe):
    """What is found in them are false positives: a subset must not hide those."""
    recipe = recipe_of(kind="voc", root=str(voc), classes=["cat"])
    images = tmp_path / "v.h5"
    assert prepare_images(recipe, "val", images) == 1  # a dog
    assert prepare_masks(recipe, "val", "evaluation", images, tmp_path / "m.h5") == 1
    with ImageReader(images) as read, MaskReader(tmp_path / "m.h5") as masks:
        assert read.labels.tolist() == [[0]]
        assert set(np.unique(masks["2007_000004"])) == {0, 255}
    (folder / "labels.csv").write_text("image,labels\np0,nut\np1,bolt\np2,\np3,\nq0,\nq1,nut\n")
    fewer = recipe_of(**folder_recipe, keep_unlabelled=False)
    assert prepare_images(fewer, "train", images) == 2
    assert prepare_images(fewer, "val", images) == 2


def test_folder(tmp_path, folder, folder_recipe):
    recipe = recipe_of(**folder_recipe)
    assert prepare_images(recipe, "train", tmp_path / "t.h5") == 4
    assert prepare_masks(recipe, "train", "evaluation", tmp_path / "t.h5", tmp_path / "m.h5") == 3
    with ImageReader(tmp_path / "t.h5") as images:
        assert images.labels.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]
    fewer = recipe_of(**folder_recipe, keep_unlabelled=False)
    assert prepare_images(fewer, "train", tmp_path / "t.h5") == 3


def test_root_from_the_environment(tmp_path, folder, folder_recipe, monkeypatch):
    monkeypatch.setenv("PARTS", str(folder.parent))
    recipe = recipe_of(**folder_recipe | {"root": "${PARTS}/parts"})
    prepare_images(recipe, "val", tmp_path / "v.h5")
    with ImageReader(tmp_path / "v.h5") as images:
        assert json.loads(images.header.recipe)["root"] == "${PARTS}/parts"
    monkeypatch.delenv("PARTS")
    with pytest.raises(UserError, match="root: environment variable PARTS is not set"):
        prepare_images(recipe, "val", tmp_path / "w.h5")


def test_exif_orientation_is_ignored(tmp_path, folder, folder_recipe, jpeg):
    exif = Image.Exif()
    exif[274] = 6  # rotate by 90°
    (folder / "images" / "q0.jpg").write_bytes(jpeg(exif=exif))
    prepare_images(recipe_of(**folder_recipe), "val", tmp_path / "v.h5")
    with ImageReader(tmp_path / "v.h5") as images:
        assert images["q0"].size == (12, 16)


def test_all_unreadable_images_are_reported_together(
    tmp_path, folder, folder_recipe, caplog, monkeypatch
):
    path = folder / "images" / "p1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    (folder / "images" / "p0.jpg").write_text("no image")
    (folder / "images" / "p3.jpg").write_bytes(b"")
    out = tmp_path / "t.h5"
    with pytest.raises(UserError) as caught:
        prepare_images(recipe_of(**folder_recipe), "train", out)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("train: 3 unreadable images")
    assert ["p0.jpg" in rest[0], "p1.jpg" in rest[1], "p3.jpg" in rest[2]] == [True] * 3
    assert "0x" not in str(caught.value)
    assert list(tmp_path.glob("*.h5")) == list(tmp_path.glob(".*h5*")) == []
    recipe = recipe_of(**folder_recipe, skip_unreadable=True)
    monkeypatch.setattr(logging.getLogger("wsss"), "propagate", True)
    with caplog.at_level("WARNING", logger="wsss"):
        assert prepare_images(recipe, "train", out) == 1
    assert "3 unreadable images left out" in caplog.text
    with ImageReader(out) as images:
        assert images.ids == ["p2"] and images.labels.tolist() == [[1, 1]]
    # Without p2 no readable image of either class would be left to learn from.
    (folder / "images" / "p2.jpg").write_bytes(b"")
    (folder / "images" / "p0.jpg").write_bytes((folder / "images" / "q0.jpg").read_bytes())
    with pytest.raises(UserError, match="train: class without images, 1 times: bolt"):
        prepare_images(recipe, "train", tmp_path / "again.h5")
    assert not (tmp_path / "again.h5").exists()


def test_at_most_twenty_unreadable_images_are_named(tmp_path, folder, folder_recipe):
    names = [f"p{i}" for i in range(30)]
    for name in names:
        (folder / "images" / f"{name}.jpg").write_text("no image")
    (folder / "train.txt").write_text("\n".join(names))
    (folder / "labels.json").write_text(json.dumps({name: ["nut", "bolt"] for name in names}))
    recipe = recipe_of(**folder_recipe, labels="labels.json")
    with pytest.raises(UserError) as caught:
        prepare_images(recipe, "train", tmp_path / "t.h5")
    lines = str(caught.value).splitlines()
    assert "30 unreadable" in lines[0]
    assert len(lines) == 22 and lines[-1] == "… and 10 more"


def test_lists_labels_and_images_are_checked_first(tmp_path, folder, folder_recipe):
    (folder / "images" / "p0.jpg").unlink()
    (folder / "train.txt").write_text("p0\np1\np1\np2\nz9\n")
    (folder / "labels.csv").write_text("image,labels\np0,nut\np1,blot\np2,bolt\n")
    with pytest.raises(UserError) as caught:
        prepare_images(recipe_of(**folder_recipe), "train", tmp_path / "t.h5")
    text = str(caught.value)
    assert "train: duplicate id, 1 times: p1: twice in train.txt" in text
    assert "train: missing image, 2 times: p0: not in" in text
    assert "train: missing labels, 1 times: z9: not in" in text
    assert "p1: 'blot' (did you mean 'bolt'?)" in text
    assert "train: class without images, 1 times: nut" in text  # its one image is gone
    assert len(text.splitlines()) == 5


def test_mistakes_in_masks_are_reported_together(tmp_path, folder, folder_recipe):
    recipe = recipe_of(**folder_recipe)
    prepare_images(recipe, "train", tmp_path / "t.h5")
    (folder / "masks" / "p0.png").unlink()
    (folder / "masks" / "p1.png").write_bytes(palette_png(np.zeros((12, 15), np.uint8)))
    (folder / "masks" / "p2.png").write_bytes(palette_png(np.full((12, 16), 3, np.uint8)))
    with pytest.raises(UserError) as caught:
        prepare_masks(recipe, "train", "evaluation", tmp_path / "t.h5", tmp_path / "m.h5")
    text = str(caught.value)
    assert "p0.png: no such file" in text
    assert "p1: mask 12×15, image 12×16" in text
    assert "p2.png: holds 3" in text
    assert not (tmp_path / "m.h5").exists()


def test_masks_that_cannot_be_asked_for(tmp_path, small_toy, folder, folder_recipe):
    images = tmp_path / "val.h5"
    prepare_images(small_toy, "val", images)
    with pytest.raises(UserError, match="no supervision masks for val"):
        prepare_masks(small_toy, "val", "supervision", images, tmp_path / "m.h5")
    with pytest.raises(UserError, match="made from another split or recipe"):
        prepare_masks(small_toy, "train", "evaluation", images, tmp_path / "m.h5")
    other = small_toy.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match="made from another split or recipe"):
        prepare_masks(other, "val", "evaluation", images, tmp_path / "m.h5")
    recipe = recipe_of(**folder_recipe)
    prepare_images(recipe, "train", images)
    (folder / "train_masks.txt").write_text("z\n")
    with pytest.raises(UserError, match=r"train_masks\.txt: names none of the images"):
        prepare_masks(recipe, "train", "evaluation", images, tmp_path / "m.h5")


def test_a_list_of_masks_names_ids_of_its_split_once(tmp_path, folder, folder_recipe):
    recipe, images = recipe_of(**folder_recipe), tmp_path / "t.h5"
    prepare_images(recipe, "train", images)
    (folder / "train_masks.txt").write_text("p0\np1\np1\nq0\n")
    with pytest.raises(UserError) as caught:
        prepare_masks(recipe, "train", "evaluation", images, tmp_path / "m.h5")
    text = str(caught.value)
    assert "duplicate id, 1 times: p1: twice in train_masks.txt" in text
    assert "id outside the split, 1 times: q0: in train_masks.txt, not in train.txt" in text
    assert not (tmp_path / "m.h5").exists()


def test_no_image_left(tmp_path, voc):
    recipe = recipe_of(kind="voc", root=str(voc), classes=["sheep"])
    with pytest.raises(UserError, match="train: class without images, 1 times: sheep"):
        prepare_images(recipe, "train", tmp_path / "t.h5")
    (voc / "JPEGImages" / "2007_000004.jpg").write_bytes(b"")
    recipe = recipe_of(kind="voc", root=str(voc), classes=["dog"], skip_unreadable=True)
    with pytest.raises(UserError, match="val: no image is left"):
        prepare_images(recipe, "val", tmp_path / "v.h5")
    assert not list(tmp_path.glob("*.h5"))


def test_a_class_without_a_train_image_stops_generated_data_too(tmp_path):
    recipe = recipe_of(kind="toy", train=1, val=1, size=32, classes=8, co_occurrence=0.0)
    with pytest.raises(UserError, match=r"train: class without images, \d times: .*no classifier"):
        prepare_images(recipe, "train", tmp_path / "t.h5")
    assert not list(tmp_path.glob("*.h5"))
    assert prepare_images(recipe, "val", tmp_path / "v.h5") == 1


@pytest.mark.parametrize("split", ["train", "val"])
def test_overlapping_splits_are_refused_from_either_side(tmp_path, folder, folder_recipe, split):
    (folder / "val.txt").write_text("q0\nq1\np1.jpg\n")
    with pytest.raises(UserError, match="train and val: overlapping splits, 1 times: p1 "):
        prepare_images(recipe_of(**folder_recipe), split, tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def test_ids_with_blanks_name_their_own_image(tmp_path, folder, folder_recipe, jpeg):
    (folder / "images" / "p0 b.jpg").write_bytes(jpeg(seed=9))
    (folder / "train.txt").write_text("p0 b\np1\n")
    (folder / "labels.csv").write_text("image,labels\np0 b.jpg,nut\np1,bolt\nq0,nut\nq1,bolt\n")
    recipe = recipe_of(**folder_recipe)
    prepare_images(recipe, "train", tmp_path / "t.h5")
    with ImageReader(tmp_path / "t.h5") as images:
        assert images.ids == ["p0 b", "p1"]
        assert images["p0 b"].data == jpeg(seed=9)
    (folder / "train.txt").write_text("dog/p0\np1\n")
    with pytest.raises(UserError, match=r"train\.txt: 1 ids name a folder: 'dog/p0'"):
        prepare_images(recipe, "train", tmp_path / "t.h5")


def test_no_root():
    with pytest.raises(UserError, match="root: no folder '/nowhere/at/all'"):
        prepare_images(recipe_of(kind="voc", root="/nowhere/at/all"), "train", "t.h5")


def test_the_code_digest_covers_how_each_kind_is_read():
    """The kinds read inside their methods: their imports must count all the same."""
    code = closure("wsss.data.prepare")
    reading = {"toy.scene", "toy.textures", "listing", "labels", "npy_labels", "mask_files"}
    assert {f"wsss.data.{module}" for module in reading} <= code
    # Checks and pictures decide no number.
    assert not {"wsss.data.layout_checks", "wsss.data.preview_sheet"} & code
