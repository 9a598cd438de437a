import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from wsss.affinity.network import load_network
from wsss.affinity.recipe import WalkRecipe
from wsss.affinity.walk import random_walk
from wsss.affinity.walk_maps import boundary, walk_maps, walk_record
from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageReader, MapReader, MapRecord, MapWriter
from wsss.core.maps import upsample
from wsss.nn.inference import ready
from wsss.nn.transforms import normalise

from .conftest import assert_same_in_parts


@pytest.fixture(scope="module")
def net(trained):
    network, recipe, _ = load_network(trained)
    return ready(network), recipe.backbone


@pytest.fixture(scope="module")
def walked(trained, files, tmp_path_factory):
    out = tmp_path_factory.mktemp("walk") / "walk.h5"
    walk_maps(WalkRecipe(), trained, [files.maps], [files.images], threads=1, out=out)
    return out


def test_file_has_the_same_images_and_classes_with_maximum_1(walked, files):
    before, after = MapReader(files.maps), MapReader(walked)
    assert after.ids == before.ids and after.sizes == before.sizes
    assert after.header.recipe == WalkRecipe().to_json()
    assert after.header.extra == {"source": before.header.source(), "affinity_seed": 5}
    for old, new in zip(before, after, strict=True):
        assert (new.classes == old.classes).all() and new.maps.shape == old.maps.shape
        assert new.maps.dtype == np.float16 and (new.maps >= 0).all()
        assert not len(new.maps) or new.maps.max() == 1
    assert len(after[9].classes) == 0


def test_maps_are_the_walk_on_the_networks_boundary(walked, files, net):
    old, new = MapReader(files.maps)[2], MapReader(walked)[2]
    with Image.open(io.BytesIO(ImageReader(files.images)[2].data)) as png:
        image = np.array(png)
    edge = boundary(*net, image, flip=True).cpu().numpy()
    moved = random_walk(old.maps.astype(np.float32), edge)
    np.testing.assert_allclose(new.maps, moved / moved.max(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(walked, trained, files, tmp_path, threads):
    out = tmp_path / "walk.h5"
    walk_maps(WalkRecipe(), trained, [files.maps], [files.images], threads=threads, out=out)
    assert all((MapReader(out)[i].maps == r.maps).all() for i, r in enumerate(MapReader(walked)))


def test_boundary_is_the_mean_logit_of_image_and_mirror_after_padding(net):
    network, backbone = net
    image = np.random.default_rng(0).integers(0, 256, (35, 50, 3)).astype(np.uint8)
    padded = F.pad(normalise(image, backbone)[None], (0, 14, 0, 29))
    with torch.no_grad():
        straight = network(padded)[0]
        mirror = network(padded.flip(-1))[0].flip(-1)
    size = (9, 13)
    want = ((straight + mirror) / 2).sigmoid()[: size[0], : size[1]]
    torch.testing.assert_close(boundary(network, backbone, image, flip=True), want)
    once = boundary(network, backbone, image, flip=False)
    torch.testing.assert_close(once, straight.sigmoid()[: size[0], : size[1]])


def test_mirrored_image_gives_the_mirrored_boundary(net):
    image = np.random.default_rng(1).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    there = boundary(*net, image, flip=True)
    back = boundary(*net, np.ascontiguousarray(image[:, ::-1]), flip=True)
    torch.testing.assert_close(back.flip(-1), there)


def record(maps, classes, size):
    return MapRecord("one", size, np.array(classes, np.int32), np.asarray(maps, np.float16))


def test_maximum_is_taken_over_all_classes(net):
    image = np.random.default_rng(2).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    maps = np.random.default_rng(3).random((2, 10, 10))
    maps[1] *= 0.25
    both = walk_record(*net, WalkRecipe(), image, record(maps, [1, 2], (40, 40)))
    assert both[0].max() == 1 and both[1].max() < 0.6


def test_maps_on_another_grid_are_resized_to_stride_4(net):
    image = np.random.default_rng(4).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    coarse = record(np.random.default_rng(5).random((1, 5, 7)), [1], (40, 56))
    fine = record(upsample(coarse.maps, (10, 14)), [1], (40, 56))
    moved = walk_record(*net, WalkRecipe(), image, coarse)
    assert moved.shape == (1, 10, 14)
    np.testing.assert_allclose(
        moved, walk_record(*net, WalkRecipe(), image, fine), rtol=2e-3, atol=1e-6
    )


def test_maps_of_nothing_stay_nothing(net):
    image = np.zeros((33, 40, 3), np.uint8)
    empty = walk_record(*net, WalkRecipe(), image, record(np.zeros((1, 9, 10)), [1], (33, 40)))
    assert empty.shape == (1, 9, 10) and not empty.any()
    none = walk_record(*net, WalkRecipe(), image, record(np.zeros((0, 9, 10)), [], (33, 40)))
    assert none.shape == (0, 9, 10)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_an_image_leaves_no_file(trained, files, tmp_path, threads):
    bad = tmp_path / "bad.h5"
    reader = MapReader(files.maps)
    with MapWriter(bad, reader.header) as writer:
        for i, one in enumerate(reader):
            classes = np.zeros(1, np.int32) if i == 4 else one.classes
            writer.add(one.id, one.size, classes, one.maps)
    out = tmp_path / "walk.h5"
    with pytest.raises(UserError, match="'scene4' have a background channel"):
        walk_maps(WalkRecipe(), trained, [bad], [files.images], threads=threads, out=out)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.h5"]


def test_a_model_of_other_classes_is_refused(trained, files, tmp_path):
    other = tmp_path / "cam.h5"
    with MapWriter(other, Header("maps", "train", ("a", "b", "c"))) as writer:
        writer.add("scene0", (8, 8), np.array([1], np.int32), np.zeros((1, 2, 2)))
    with pytest.raises(UserError, match="classes"):
        walk_maps(WalkRecipe(), trained, [other], [files.images], threads=1, out=tmp_path / "w.h5")


@pytest.mark.parametrize("of", [2, 7])
def test_parts_hold_the_bytes_of_the_whole(of, trained, files, tmp_path):
    """A job of the walk takes one part of the maps."""

    def walk(maps, out):
        walk_maps(WalkRecipe(), trained, [maps], [files.images], threads=1, out=out)

    assert_same_in_parts(walk, files.maps, of, tmp_path, MapReader, lambda r: (r.classes, r.maps))
