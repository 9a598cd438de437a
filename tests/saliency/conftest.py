"""Red or blue discs on green, and class maps that know where a part of each is."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from wsss.core.files.store import Header, ImageRecord, ImageWriter, MapReader, MapWriter
from wsss.core.random import generator
from wsss.core.shard import Shard
from wsss.nn.recipe import Backbone, Square
from wsss.saliency.recipe import C2amAugment, C2amOptimizer, C2amTrain, C2amTraining, Hints

CLASSES = ("red", "blue")


@dataclass
class Split:
    images: Path
    maps: Path


def scene(index, height, width):
    rng = generator("scene", index)
    y, x = np.mgrid[:height, :width]
    cy, cx = (rng.uniform(0.35, 0.65, 2) * (height, width)).tolist()
    inside = (y - cy) ** 2 + (x - cx) ** 2 < (height / 4) ** 2
    colour = np.array([[220, 60, 50], [40, 70, 220]])[index % 2]
    image = np.where(inside[..., None], colour, (90, 120, 90)) + rng.normal(
        0, 12, (height, width, 3)
    )
    return image.clip(0, 255).astype(np.uint8), inside


def write_split(
    folder,
    count=10,
    split="train",
    classes=CLASSES,
    maps=None,
    left_out=(),
    wider=0,
    background=False,
):
    """maps: a function from where the disc is to its class map; by default 1 there and 0 around.

    wider: pixels by which the images are that the maps say they are for. background: each map
    has a background channel before it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = Split(folder / f"{split}.h5", folder / f"cam.{split}.h5")
    with (
        ImageWriter(files.images, Header("images", split, classes)) as images,
        MapWriter(files.maps, Header("maps", split, classes)) as cams,
    ):
        for i in range(count):
            image, inside = scene(i, *((40, 48), (48, 40))[i % 2])
            data = io.BytesIO()
            Image.fromarray(image).save(data, format="PNG")
            labels = np.eye(len(classes), dtype=np.uint8)[i % 2]
            images.add(ImageRecord(f"i{i}", data.getvalue(), inside.shape, labels))
            small = inside[::4, ::4].astype(np.float32)
            found = small if maps is None else maps(small)
            ids, channels = [1 + i % 2], [found]
            if background:
                ids, channels = [0, *ids], [1 - found, *channels]
            if i not in left_out:
                size = (inside.shape[0], inside.shape[1] + wider)
                cams.add(f"i{i}", size, np.array(ids), np.stack(channels).astype(np.float32))
    return files


def tiny(hints=True, **changes):
    optimizer = C2amOptimizer(lr=0.01, head_multiplier=10)
    plain = {
        "backbone": Backbone(name="resnet10t", output_stride=16),
        "augment": C2amAugment(crop=48, resize=Square(side=56)),
        "training": C2amTraining(epochs=2, batch_size=4, optimizer=optimizer),
        "hints": Hints() if hints else None,
    }
    return C2amTrain(**(plain | changes))


def fill_batch_norms(network):
    """timm starts the last of a residual block at 0, which lets no gradient into the block."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    return write_split(tmp_path_factory.mktemp("split"))


def assert_same_in_parts(extract, recipe, model, images, whole, folder):
    """Two and seven parts of the maps hold the bytes and the order of those in `whole`."""
    for of in (2, 7):
        parts = [folder / f"{i}-of-{of}.h5" for i in range(1, of + 1)]
        for i, part in enumerate(parts, start=1):
            extract(recipe, model, images, shard=Shard(i, of), threads=1, out=part)
        with MapReader(parts) as together, MapReader(whole) as one:
            assert together.ids == one.ids
            for a, b in zip(together, one, strict=True):
                assert a.maps.tobytes() == b.maps.tobytes()
