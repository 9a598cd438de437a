import numpy as np
import pytest
from PIL import Image

from wsss.core.errors import UserError
from wsss.core.files.store import Header, MapReader, MapRecord, MapWriter, MaskReader
from wsss.core.images import voc_palette
from wsss.segmentation.masks import most_probable, write_masks

CLASSES = tuple("abcdefg")


def test_the_arg_max_gives_class_ids():
    maps = np.zeros((3, 2, 2), np.float16)
    maps[0, 0, 0] = maps[1, 0, 1] = maps[2, 1] = 1
    record = MapRecord("x", (2, 2), np.array([0, 3, 7]), maps)
    assert most_probable(record).tolist() == [[0, 3], [7, 7]]


def test_ties_go_to_the_lower_id():
    record = MapRecord("x", (4, 4), np.array([0, 2]), np.full((2, 1, 1), 0.5, np.float16))
    assert not most_probable(record).any()


def test_scores_are_upsampled_before_the_arg_max():
    maps = np.array([[[1, 0]], [[0, 1]]], np.float16)
    record = MapRecord("x", (1, 8), np.array([0, 1]), maps)
    assert most_probable(record).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "prediction.val.h5"
    rng = np.random.default_rng(0)
    with MapWriter(path, Header("maps", "val", CLASSES, '{"flip":true}', {"seed": 2})) as writer:
        for i in range(5):
            classes = np.array([0, *sorted(rng.choice(np.arange(1, 8), i, replace=False))])
            writer.add(f"image{i}", (9 + i, 14), classes, rng.random((i + 1, 3, 4)))
    return path


def test_masks_and_png_hold_the_same_ids(scores, tmp_path):
    out, png = tmp_path / "masks.h5", tmp_path / "png"
    write_masks(scores, out, png=png)
    masks = MaskReader(out)
    assert masks.ids == MapReader(scores).ids
    assert (masks.header.split, masks.header.classes) == ("val", CLASSES)
    source = {"kind": "maps", "recipe": {"flip": True}, "extra": {"seed": 2}}
    assert masks.header.extra == {"source": source}
    for record in MapReader(scores):
        mask = masks[record.id]
        assert mask.shape == record.size
        assert set(np.unique(mask)) <= set(record.classes.tolist())
        with Image.open(png / f"{record.id}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), mask)
            palette = np.array(image.getpalette()[: 3 * 8]).reshape(-1, 3)
            used = np.unique(mask)
            np.testing.assert_array_equal(palette[used], voc_palette()[used])
    assert len(list(png.iterdir())) == 5


def test_shards_and_workers_change_nothing(scores, tmp_path):
    write_masks([scores], tmp_path / "one.h5")
    write_masks(scores, tmp_path / "two.h5", workers=2)
    one, two = MaskReader(tmp_path / "one.h5"), MaskReader(tmp_path / "two.h5")
    for image_id, mask in one:
        np.testing.assert_array_equal(two[image_id], mask)


def test_maps_without_background_are_refused(tmp_path):
    with MapWriter(tmp_path / "cam.h5", Header("maps", "val", CLASSES)) as writer:
        writer.add("image0", (8, 8), np.array([1, 2]), np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match="'image0' has no background scores"):
        write_masks(tmp_path / "cam.h5", tmp_path / "masks.h5")
    assert not (tmp_path / "masks.h5").exists()
