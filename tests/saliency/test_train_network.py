import math

import numpy as np
import pytest
import torch

from wsss.core.errors import UserError
from wsss.core.store import Header, ImageReader, MapReader, MaskWriter
from wsss.nn.recipe import Backbone, LongSide
from wsss.saliency.extraction import extract_network
from wsss.saliency.network_learner import SaliencyLearner, saliency_loss
from wsss.saliency.recipe import (
    NetworkAugment,
    NetworkOptimizer,
    NetworkTrain,
    NetworkTraining,
    SaliencyMaps,
)
from wsss.saliency.train_network import train_network

from .conftest import scene


def tiny(architecture="unet", **training):
    training = {"epochs": 2, "batch_size": 5, "accumulate": 1} | training
    return NetworkTrain(
        architecture=architecture,
        backbone=Backbone(name="resnet10t"),
        augment=NetworkAugment(crop=48, resize=LongSide(min=48, max=48)),
        training=NetworkTraining(optimizer=NetworkOptimizer(lr=0.003), **training),
    )


@pytest.fixture(scope="module")
def masks(split, tmp_path_factory):
    out = tmp_path_factory.mktemp("masks") / "masks.h5"
    return write_masks(out, split)


def write_masks(out, split, classes=("salient",), name="train", wider=0):
    with (
        ImageReader(split.images) as images,
        MaskWriter(out, Header("masks", name, classes)) as writer,
    ):
        for i, record in enumerate(images):
            mask = scene(i, *record.size)[1].astype(np.uint8)
            writer.add(record.id, np.pad(mask, ((0, 0), (0, wider))))
    return out


def run(split, masks, out, recipe):
    train_network(recipe, split.images, masks, weights=None, seed=1, threads=1, out=out)
    return out.read_bytes()


@pytest.mark.parametrize("architecture", ["unet", "poolnet"])
def test_same_seed_same_bytes(architecture, split, masks, tmp_path):
    recipe = tiny(architecture, epochs=1)
    first = run(split, masks, tmp_path / "a.safetensors", recipe)
    assert run(split, masks, tmp_path / "b.safetensors", recipe) == first


def test_it_learns_the_masks(split, masks, tmp_path):
    model = tmp_path / "network.safetensors"
    run(split, masks, model, tiny(epochs=25))
    maps = SaliencyMaps(scales=(1.0,), map_stride=1)
    extract_network(maps, model, split.images, threads=1, out=tmp_path / "saliency.h5")
    with MapReader(tmp_path / "saliency.h5") as reader:
        assert reader.header.classes == ("salient",)
        found = [(r.maps[0] > 0.5) == scene(i, *r.size)[1] for i, r in enumerate(reader)]
    assert np.mean([same.mean() for same in found]) > 0.95


def test_the_loss_is_a_mean_over_pixels_that_count():
    logits = torch.tensor([[[[0.0, 2.0]]]])
    masks = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert saliency_loss(logits, masks).item() == pytest.approx(expected)
    masks[..., 1] = 255
    assert saliency_loss(logits, masks).item() == pytest.approx(math.log(2))
    masks[:] = 255
    assert saliency_loss(logits, masks).item() == 0


def test_masks_of_classes_are_refused(split, tmp_path):
    masks = write_masks(tmp_path / "m.h5", split, classes=("red", "blue"))
    with pytest.raises(UserError, match="masks of red, blue, not of 'salient'"):
        run(split, masks, tmp_path / "network.safetensors", tiny())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "val"}, "m.h5: masks of split val, but .* is of train"),
        ({"wider": 4}, "m.h5: mask 'i0' has 40x52 pixels, its image in .* 40x48"),
    ],
)
def test_masks_of_other_images_are_told_before_training(
    changes, message, split, tmp_path, monkeypatch
):
    monkeypatch.setattr("wsss.saliency.train_network.train_to_file", None)
    masks = write_masks(tmp_path / "m.h5", split, **changes)
    with pytest.raises(UserError, match=message):
        run(split, masks, tmp_path / "network.safetensors", tiny())


@pytest.mark.parametrize("value", [0, 1])
def test_masks_of_one_side_are_told_before_training(value, split, tmp_path, monkeypatch):
    monkeypatch.setattr(SaliencyLearner, "loss", None)
    with MaskWriter(tmp_path / "m.h5", Header("masks", "train", ("salient",))) as writer:
        for record in ImageReader(split.images):
            writer.add(record.id, np.full(record.size, value, np.uint8))
    with pytest.raises(UserError, match=r"m.h5: no mask has both salient and background pixels"):
        run(split, tmp_path / "m.h5", tmp_path / "network.safetensors", tiny())


@pytest.mark.parametrize("architecture", ["unet", "poolnet"])
def test_a_batch_of_one_needs_fixed_statistics(architecture):
    with pytest.raises(ValueError, match="batch_size 1 has no batch statistics"):
        tiny(architecture, batch_size=1)
    assert NetworkTrain().training.batch_size == 1


@pytest.mark.parametrize("architecture", ["unet", "poolnet"])
@pytest.mark.parametrize("batch_norm", ["frozen", "eval"])
def test_random_weights_have_no_statistics_to_keep(architecture, batch_norm):
    random = {"name": "resnet10t", "batch_norm": batch_norm}
    schedule = NetworkTraining(batch_size=4)
    with pytest.raises(ValueError, match=rf"batch_norm {batch_norm} keeps .*; give weights"):
        NetworkTrain(architecture=architecture, backbone=Backbone(**random), training=schedule)
    given = Backbone(**random, weights="w.safetensors")
    NetworkTrain(architecture=architecture, backbone=given, training=schedule)
