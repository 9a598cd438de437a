import numpy as np
import pytest
import torch
from torch import nn

from wsss.core.files.store import ImageReader
from wsss.nn.inference import augmented_mean, grid_size, in_order, ready
from wsss.nn.recipe import Backbone
from wsss.nn.transforms import normalise

BACKBONE = Backbone(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SCALES = (0.5, 1.0, 1.5)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (41, 58, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1), nn.ReLU()]
    return ready(nn.Sequential(*layers))


@pytest.mark.parametrize(
    ("size", "stride", "grid"),
    [((1, 1), 4, (1, 1)), ((4, 5), 4, (1, 2)), ((375, 500), 4, (94, 125)), ((9, 8), 1, (9, 8))],
)
def test_the_map_grid(size, stride, grid):
    assert grid_size(size, stride) == grid


def test_the_mean_of_a_constant_network_is_the_constant(image):
    def forward(x):
        return torch.full((len(x), 2, 3, 5), 0.75)

    mean = augmented_mean(forward, image, BACKBONE, scales=SCALES, flip=True, size=(11, 15))
    torch.testing.assert_close(mean, torch.full((2, 11, 15), 0.75))


@pytest.mark.parametrize("flip", [False, True])
def test_a_network_that_returns_its_input_gives_the_image_back(image, flip):
    mean = augmented_mean(
        lambda x: x, image, BACKBONE, scales=(1.0,), flip=flip, size=image.shape[:2]
    )
    torch.testing.assert_close(mean, normalise(image, BACKBONE))


def test_the_flipped_image_gives_the_flipped_mean(image, network):
    options = {"scales": SCALES, "flip": True, "size": (11, 15)}
    mean = augmented_mean(network, image, BACKBONE, **options)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    flipped = augmented_mean(network, mirrored, BACKBONE, **options)
    torch.testing.assert_close(flipped, mean.flip(-1), rtol=1e-4, atol=1e-4)
    alone = augmented_mean(network, mirrored, BACKBONE, **options | {"flip": False})
    assert (alone - mean.flip(-1)).abs().max() > 1e-2  # flips are what made it symmetric


def test_scales_are_averaged_with_equal_weight(image, network):
    options = {"flip": True, "size": (11, 15)}
    each = [augmented_mean(network, image, BACKBONE, scales=(s,), **options) for s in SCALES]
    mean = augmented_mean(network, image, BACKBONE, scales=SCALES, **options)
    torch.testing.assert_close(mean, torch.stack(each).mean(0))


def test_the_network_sees_an_image_and_its_flip_at_every_scale(image):
    seen = []

    def forward(x):
        seen.append(tuple(x.shape))
        torch.testing.assert_close(x[1], x[0].flip(-1))
        return x[:, :1]

    augmented_mean(forward, image, BACKBONE, scales=SCALES, flip=True, size=(5, 5))
    assert seen == [(2, 3, 20, 29), (2, 3, 41, 58), (2, 3, 62, 87)]


def test_in_order_keeps_the_files_order_and_works_size_by_size(images_file):
    sizes = [(8, 9), (9, 8), (8, 9), (9, 8), (8, 9)]
    path = images_file(sizes, [[1]] * 5)
    worked = []

    def work(record):
        worked.append(record.id)
        return record.id.upper()

    with ImageReader(path) as reader:
        found = [(record.id, result) for record, result in in_order(reader, work, window=4)]
    assert found == [(f"i{i}", f"I{i}") for i in range(5)]
    assert worked == ["i0", "i2", "i1", "i3", "i4"]
