from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import wsss.cam.extraction as extraction
from wsss.cam.extraction import extract, normalise_maps
from wsss.cam.recipe import CamRecipe
from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageReader, MapReader, MaskWriter
from wsss.core.images import decode
from wsss.core.shard import Shard
from wsss.nn.cam_network import load_cam_network

RECIPE = CamRecipe(scales=(0.5, 1.0, 1.5))


@pytest.fixture(scope="module")
def maps(model, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("cam") / "cam.val.h5"
    extract(RECIPE, model, images, threads=1, out=out)
    return out


def reference(model, image, classes, scales, stride=4):
    """The published code's order of operations: sum over scales and flips, then normalise."""
    network = load_cam_network(model).network.eval()
    height, width = image.shape[:2]
    grid = ((height - 1) // stride + 1, (width - 1) // stride + 1)
    total = 0
    for scale in scales:
        size = (round(width * scale), round(height * scale))
        pixels = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) / 255
        pixels = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        x = torch.from_numpy(pixels).permute(2, 0, 1).float()[None]
        with torch.inference_mode():
            plain, mirrored = (network(v).maps.relu() for v in (x, x.flip(-1)))
        total = total + F.interpolate(plain + mirrored.flip(-1), grid, mode="bilinear")[0]
    chosen = total[classes]
    return (chosen / (chosen.amax((1, 2), keepdim=True) + 1e-5)).numpy()


def test_maps_are_those_of_the_published_procedure(maps, model, images):
    reader = ImageReader(images)
    for record in MapReader(maps):
        image = reader[record.id]
        classes = np.flatnonzero(image.labels)
        if len(classes):
            expected = reference(model, decode(image.data), classes, RECIPE.scales)
            np.testing.assert_allclose(record.maps.astype(float), expected, atol=2e-3)


def test_each_image_has_the_maps_of_its_labels(maps, images):
    with MapReader(maps) as found, ImageReader(images) as reader:
        assert found.ids == reader.ids
        assert [r.classes.tolist() for r in found] == [[1, 3], [2], [], [1, 2, 3], [3]]
        assert found.sizes == reader.sizes
        shapes = [r.maps.shape for r in found]
    assert shapes == [(2, 10, 13), (1, 9, 12), (0, 10, 13), (3, 13, 10), (1, 9, 12)]


def test_every_map_reaches_one_and_none_is_negative(maps):
    for record in MapReader(maps):
        assert (record.maps >= 0).all()
        for scores in record.maps:
            assert 0.999 <= scores.max() <= 1
            assert scores.min() < 0.9


def test_the_header_tells_where_the_maps_come_from(maps):
    header = MapReader(maps).header
    assert (header.kind, header.split) == ("maps", "val")
    assert header.classes == ("cat", "dog", "cow")
    assert header.extra == {"image_labels": "given", "seed": 7}
    assert CamRecipe.from_json(header.recipe) == RECIPE


def test_the_same_inputs_give_the_same_bytes(maps, model, images, tmp_path):
    extract(RECIPE, model, images, threads=1, out=tmp_path / "cam.val.h5")
    assert (tmp_path / "cam.val.h5").read_bytes() == maps.read_bytes()


def test_shards_give_the_maps_of_the_whole(maps, model, write_images, tmp_path):
    first = write_images(tmp_path / "a.h5", [0, 1])
    second = write_images(tmp_path / "b.h5", [2, 3, 4])
    extract(RECIPE, model, [first, second], threads=1, out=tmp_path / "cam.h5")
    with MapReader(maps) as whole, MapReader(tmp_path / "cam.h5") as sharded:
        assert sharded.ids == whole.ids
        for a, b in zip(whole, sharded, strict=True):
            assert np.array_equal(a.maps, b.maps)


def test_only_images_with_masks_where_the_recipe_says_so(maps, model, images, tmp_path):
    masks = tmp_path / "masks.h5"
    with MaskWriter(masks, Header("masks", "val", ("cat", "dog", "cow"))) as writer:
        for name in ("i4", "i1", "elsewhere"):
            writer.add(name, np.zeros((3, 3), np.uint8))
    recipe = RECIPE.model_copy(update={"images": "with-masks"})
    extract(recipe, model, images, masks=masks, threads=1, out=tmp_path / "cam.h5")
    with MapReader(maps) as whole, MapReader(tmp_path / "cam.h5") as some:
        assert some.ids == ["i1", "i4"]
        for record in some:
            assert np.array_equal(record.maps, whole[record.id].maps)


@pytest.mark.parametrize(("which", "masks"), [("all", Path("masks.h5")), ("with-masks", None)])
def test_masks_go_with_the_recipe(which, masks, model, images, tmp_path):
    recipe = RECIPE.model_copy(update={"images": which})
    with pytest.raises(UserError, match=f"images is '{which}' in the recipe; .*--masks"):
        extract(recipe, model, images, masks=masks, threads=1, out=tmp_path / "cam.h5")
    assert not any(tmp_path.iterdir())


def test_the_network_does_not_run_for_images_without_labels(
    model, write_images, tmp_path, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("ran")

    monkeypatch.setattr(extraction, "augmented_mean", never)
    images = write_images(tmp_path / "i.h5", [2])
    extract(RECIPE, model, images, threads=1, out=tmp_path / "cam.h5")
    assert MapReader(tmp_path / "cam.h5")[0].maps.shape == (0, 10, 13)


def test_map_stride_and_output_stride_change_the_maps(model, write_images, tmp_path):
    images = write_images(tmp_path / "i.h5", [3])
    found = {}
    for name, changes in {
        "plain": {},
        "fine": {"map_stride": 1},
        "dilated": {"output_stride": 8},
    }.items():
        recipe = CamRecipe(scales=(1.0,), **changes)
        extract(recipe, model, images, threads=1, out=tmp_path / f"{name}.h5")
        found[name] = MapReader(tmp_path / f"{name}.h5")[0].maps
    assert found["fine"].shape == (3, 52, 40)
    assert found["dilated"].shape == found["plain"].shape == (3, 13, 10)
    assert np.abs(found["dilated"] - found["plain"]).max() > 0.01


def test_images_of_other_classes_are_refused(model, write_images, tmp_path):
    images = write_images(tmp_path / "i.h5", [0], classes=("cat", "dog", "horse"))
    with pytest.raises(UserError, match=r"i.h5: classes cat, dog, horse, but .*has cat, dog, c"):
        extract(RECIPE, model, images, threads=1, out=tmp_path / "cam.h5")
    assert not (tmp_path / "cam.h5").exists()


def test_a_diverged_network_leaves_no_file(model, images, tmp_path, monkeypatch):
    def broken(*_, size, **__):
        return torch.full((2, *size), float("nan"))

    monkeypatch.setattr(extraction, "augmented_mean", broken)
    with pytest.raises(UserError, match="maps of 'i0' hold NaN"):
        extract(RECIPE, model, images, threads=1, out=tmp_path / "cam.h5")
    assert not list(tmp_path.iterdir())


def test_normalise_maps_by_hand():
    maps = np.array([[[0.0, 1.0, 4.0]], [[0.0, 0.0, 0.0]]], np.float32)
    found = normalise_maps(maps)
    np.testing.assert_allclose(found[0], [[0, 1 / 4.00001, 4 / 4.00001]], rtol=1e-6)
    assert found.dtype == np.float32 and (found[1] == 0).all() and found.max() < 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"scales": []}', "scales: .*at least 1"),
        ('{"scales": [1.0, 0]}', r"scales.1: .*greater than 0"),
        ('{"output_stride": 4}', "output_stride: "),
        ('{"map_stride": 0}', "map_stride: .*greater than or equal to 1"),
        ('{"scale": [1.0]}', r"scale: unknown key \(did you mean 'scales'"),
    ],
)
def test_mistakes_in_recipes_are_named(text, line):
    with pytest.raises(UserError, match=f"^--recipe: {line}"):
        CamRecipe.from_json(text)


@pytest.mark.parametrize("of", [2, 7])
def test_parts_hold_the_bytes_of_the_whole(of, maps, model, images, tmp_path):
    parts = [tmp_path / f"{i}.h5" for i in range(1, of + 1)]
    for i, part in enumerate(parts, start=1):
        extract(RECIPE, model, images, shard=Shard(i, of), threads=1, out=part)
    together, whole = MapReader(parts), MapReader(maps)  # with 7 parts of 5 images some are empty
    assert together.ids == whole.ids
    for a, b in zip(together, whole, strict=True):
        assert (a.classes.tolist(), a.maps.tobytes()) == (b.classes.tolist(), b.maps.tobytes())
