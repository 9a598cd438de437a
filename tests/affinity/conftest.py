import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from wsss.affinity.recipe import NetworkRecipe
from wsss.affinity.train import train
from wsss.core.files.store import Header, ImageRecord, ImageWriter, MapReader, MapWriter, MaskWriter
from wsss.core.shard import Shard
from wsss.nn.backbones import build_pyramid
from wsss.nn.inference import grid_size

CLASSES = ("cat", "dog", "cow")
BACKBONE = {"name": "resnet10t", "weights": "classifier"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def scene(rng, size):
    """Two flat colours with a straight boundary between them, and the mask of the left one."""
    width = size[1]
    mask = np.zeros(size, np.uint8)
    mask[:, : int(rng.integers(width // 3, 2 * width // 3))] = 1
    image = np.where(mask[..., None] > 0, (200, 60, 40), (30, 90, 160)).astype(np.int64)
    image = (image + rng.integers(-15, 16, image.shape)).clip(0, 255).astype(np.uint8)
    return image, mask


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Images, maps and labels of ten small scenes; the last image has no class."""
    folder = tmp_path_factory.mktemp("affinity")
    rng = np.random.default_rng(3)
    made = SimpleNamespace(
        images=folder / "train.h5", maps=folder / "cam.h5", labels=folder / "labels.h5"
    )
    with (
        ImageWriter(made.images, Header("images", "train", CLASSES)) as images,
        MapWriter(made.maps, Header("maps", "train", CLASSES, "{}", {"seed": 0})) as maps,
        MaskWriter(made.labels, Header("masks", "train", CLASSES)) as labels,
    ):
        for i in range(10):
            size = (int(rng.integers(32, 48)), int(rng.integers(32, 48)))
            image, mask = scene(rng, size)
            present = [] if i == 9 else [1 + i % 3]
            hot = np.zeros(3, np.uint8)
            hot[[c - 1 for c in present]] = 1
            name = f"scene{i}"
            images.add(ImageRecord(name, png(image), size, hot))
            grid = grid_size(size)
            seed = np.zeros((len(present), *grid))
            seed[:, : grid[0] // 2, :3] = 1
            maps.add(name, size, np.array(present, np.int32), seed)
            ids = mask * np.uint8(present[0] if present else 0)
            ids[: size[0] // 4] = 255
            labels.add(name, ids)
    return made


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file for the frozen backbone; random, as no test depends on what the features mean."""
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    torch.manual_seed(0)
    save_file(build_pyramid(network_recipe().backbone).state_dict(), path)
    return path


def network_recipe(**training):
    return NetworkRecipe.from_json(
        json.dumps(
            {
                "backbone": BACKBONE,
                "augment": {"crop": 32, "resize": {"kind": "long-side", "min": 28, "max": 44}},
                "training": {"epochs": 2, "batch_size": 4, **training},
                "radius": 3,
            }
        )
    )


@pytest.fixture(scope="session", name="network_recipe")
def network_recipe_fixture():
    return network_recipe


@pytest.fixture(scope="session")
def trained(files, weights, tmp_path_factory):
    """A boundary network of two epochs, seed 5."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("trained") / "model.safetensors"
    train(network_recipe(), files.images, files.labels, weights=weights, seed=5, threads=1, out=out)
    return out


def assert_same_in_parts(make, maps, of, folder, reader, content):
    """`make(maps, out)` of `of` parts of the maps holds the bytes and the order of that of all.

    reader: of the files it makes; content: the arrays of one of their records.
    """
    make(maps, folder / "whole.h5")
    outs = [folder / f"{i}-of-{of}.h5" for i in range(1, of + 1)]
    for i, out in enumerate(outs, start=1):
        with MapReader(maps) as every, MapWriter(folder / "part.h5", every.header) as writer:
            for name in Shard(i, of).part(every.ids):
                one = every[name]
                writer.add(one.id, one.size, one.classes, one.maps)
        make(folder / "part.h5", out)
    together, whole = reader(outs), reader(folder / "whole.h5")
    assert together.ids == whole.ids
    for a, b in zip(together, whole, strict=True):
        assert [x.tobytes() for x in content(a)] == [x.tobytes() for x in content(b)]
