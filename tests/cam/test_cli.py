import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from wsss.cam.cli import app
from wsss.cam.overlay import overlay
from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageReader, MapReader, MapWriter
from wsss.core.images import decode


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def maps(model, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "cam.val.h5"
    recipe = '{"scales": [1], "flip": false}'
    done = invoke("extract", "--recipe", recipe, "--model", model, "--images", images, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_extract_writes_maps_and_a_run_card(maps):
    assert len(MapReader(maps)) == 5
    card = json.loads((maps.parent / "log" / "cam.val.h5.run.json").read_text())
    assert card["entry"] == "wsss.cam.extraction"
    assert card["recipe"]["scales"] == [1.0] and card["recipe"]["map_stride"] == 4


def test_export_writes_one_picture_an_image_and_class(maps, images, tmp_path):
    done = invoke("export", "--maps", maps, "--images", images, "--out", tmp_path / "all")
    assert done.exit_code == 0, done.output
    names = {p.name for p in (tmp_path / "all").iterdir()}
    assert names == {
        "i0.cat.png",
        "i0.cow.png",
        "i1.dog.png",
        "i3.cat.png",
        "i3.dog.png",
        "i3.cow.png",
        "i4.cow.png",
    }
    with Image.open(tmp_path / "all" / "i3.dog.png") as picture:
        assert picture.size == (40, 52)


def test_export_of_chosen_images(maps, images, tmp_path):
    arguments = ("export", "--maps", maps, "--images", images, "--out", tmp_path)
    assert invoke(*arguments, "--id", "i1", "--id", "i4").exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"i1.dog.png", "i4.cow.png"}
    error = invoke(*arguments, "--id", "i9").exception
    assert isinstance(error, UserError) and "no image 'i9'" in str(error)


def test_export_refuses_images_of_another_size(images, tmp_path):
    with MapWriter(tmp_path / "m.h5", Header("maps", "val", ("cat", "dog", "cow"))) as writer:
        writer.add("i0", (9, 9), np.array([1], np.int32), np.zeros((1, 3, 3), np.float32))
    error = invoke(
        "export", "--maps", tmp_path / "m.h5", "--images", images, "--out", tmp_path / "o"
    ).exception
    assert isinstance(error, UserError) and "belong to an image of size (9, 9)" in str(error)


def test_export_writes_nowhere_else_than_its_folder(images, tmp_path):
    with MapWriter(tmp_path / "m.h5", Header("maps", "val", ("../cat", "dog", "cow"))) as writer:
        writer.add("i0", (40, 52), np.array([1], np.int32), np.zeros((1, 3, 3), np.float32))
    error = invoke(
        "export", "--maps", tmp_path / "m.h5", "--images", images, "--out", tmp_path / "o"
    ).exception
    assert isinstance(error, UserError) and "cannot name a file" in str(error)


def test_the_overlay_is_half_image_half_colour(images):
    image = decode(ImageReader(images)[0].data)
    zeros, ones = (overlay(image, np.full(image.shape[:2], v, np.float32)) for v in (0, 1))
    # matplotlib's turbo ends: (48, 18, 59) and (122, 4, 2).
    for found, colour in ((zeros, (48, 18, 59)), (ones, (122, 4, 2))):
        expected = (image.astype(int) + colour) // 2
        assert np.abs(found.astype(int) - expected).max() <= 1
