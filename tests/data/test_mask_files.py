from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss.core.images import palette_png, voc_palette
from wsss.data.mask_files import MaskError, read_mask, renumbering
from wsss.data.recipe import VOC_CLASSES

MASK = np.array([[0, 1, 20], [255, 8, 12]], np.uint8)


def two(left: int, right: int) -> np.ndarray:
    return np.array([[left, right]] * 3, np.uint8)


def new_ids(*classes: str) -> np.ndarray:
    return renumbering(classes or VOC_CLASSES, VOC_CLASSES)


def saved(tmp_path, image) -> Path:
    path = tmp_path / "m.png"
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path)
    return path


def images():
    colours = voc_palette()[MASK]
    opaque = np.dstack([colours, np.full(MASK.shape, 255, np.uint8)])
    other_palette = Image.fromarray(MASK, mode="P")
    other_palette.putpalette([1, 2, 3] * 256)
    return {
        "palette": palette_png(MASK),
        "a palette of its own": other_palette,
        "grey": Image.fromarray(MASK),
        "16 bit": Image.fromarray(MASK.astype(np.uint16)),
        "colours": Image.fromarray(colours),
        "colours with alpha": Image.fromarray(opaque),
        "grey with alpha": Image.fromarray(np.dstack([MASK, opaque[..., 3]]), mode="LA"),
    }


@pytest.mark.parametrize("kind", images())
def test_every_kind_of_png_gives_the_same_ids(tmp_path, kind):
    mask = read_mask(saved(tmp_path, images()[kind]), new_ids())
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, MASK)


def test_one_bit_masks_hold_0_and_1(tmp_path):
    mask = read_mask(saved(tmp_path, Image.fromarray(two(0, 1) > 0)), new_ids())
    assert np.array_equal(mask, two(0, 1))


def test_void_colour_is_ignored(tmp_path):
    void = np.full((2, 2, 3), (224, 224, 192), np.uint8)
    assert (read_mask(saved(tmp_path, Image.fromarray(void)), new_ids()) == 255).all()


def test_subset_is_renumbered_and_other_classes_are_ignored(tmp_path):
    # cat is 8 and dog is 12 in VOC.
    mask = read_mask(saved(tmp_path, palette_png(MASK)), new_ids("dog", "cat"))
    assert np.array_equal(mask, [[0, 255, 255], [255, 2, 1]])


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (Image.fromarray(two(21, 254)), "value outside the classes", "holds 21, 254"),
        (Image.fromarray(two(0, 1).astype(np.uint16) * 300), "value outside", "holds 300"),
        (
            Image.fromarray(np.full((2, 2, 3), (1, 2, 3), np.uint8)),
            "unknown colour",
            "1 colours that VOC's palette lacks, e.g. (1, 2, 3)",
        ),
        (b"\x89PNG\r\n", "unreadable mask", "m.png"),
        (palette_png(MASK)[:-30], "unreadable mask", "m.png"),
        (
            Image.fromarray(np.zeros((2, 2, 4), np.uint8), mode="CMYK"),
            "unreadable mask",
            "a JPEG file",
        ),
        (Image.fromarray(np.zeros((16, 16), np.uint8)), "unreadable mask", "a JPEG file"),
    ],
)
def test_masks_that_cannot_be_used(tmp_path, image, kind, message):
    if "JPEG" in message:
        path = tmp_path / "m.png"
        image.save(path, format="JPEG")  # someone's renamed JPEG
    else:
        path = saved(tmp_path, image)
    with pytest.raises(MaskError) as caught:
        read_mask(path, new_ids())
    assert caught.value.kind.startswith(kind)
    assert message in str(caught.value) and "m.png" in str(caught.value)


def test_missing_mask(tmp_path):
    with pytest.raises(MaskError, match=r"no\.png: no such file"):
        read_mask(tmp_path / "no.png", new_ids())
