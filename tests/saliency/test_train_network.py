import io
import math

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from wsss.core.errors import UserError
from wsss.core.files.model_file import read_model
from wsss.core.files.store import (
    Header,
    ImageReader,
    ImageRecord,
    ImageWriter,
    MapReader,
    MaskWriter,
)
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

from .conftest import assert_same_in_parts, scene


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


def test_resumed_it_has_the_bytes_of_an_uninterrupted_run(split, masks, tmp_path, monkeypatch):
    whole = run(split, masks, tmp_path / "whole.safetensors", tiny())
    loss = SaliencyLearner.loss

    def killed_in_epoch_2(self, batch):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return loss(self, batch)

    out = tmp_path / "network.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(SaliencyLearner, "loss", killed_in_epoch_2)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(split, masks, out, tiny())
    assert not out.exists()
    epochs = []
    monkeypatch.setattr(
        SaliencyLearner,
        "loss",
        lambda self, batch: epochs.append(self.current_epoch) or loss(self, batch),
    )
    assert run(split, masks, out, tiny()) == whole
    assert set(epochs) == {1}  # the first was not trained again


def test_accumulated_batches_make_one_step_of_their_mean(split, masks, tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), weights)
    fixed = Backbone(name="resnet10t", batch_norm="eval", weights=str(weights))

    def trained(batch_size, accumulate):
        plain = {"epochs": 1, "batch_size": batch_size, "accumulate": accumulate}
        optimizer = NetworkOptimizer(name="sgd", lr=0.1, weight_decay=0)
        training = NetworkTraining(**plain, optimizer=optimizer)
        recipe = tiny("poolnet").model_copy(update={"backbone": fixed, "training": training})
        out = tmp_path / f"{batch_size}-{accumulate}.safetensors"
        options = {"weights": weights, "seed": 1, "threads": 1, "out": out}
        train_network(recipe, split.images, masks, **options)
        return read_model(out, "saliency")[0]["score.bias"].item()

    at_once = trained(10, 1)
    assert at_once != 0  # where it starts
    assert trained(2, 5) == pytest.approx(at_once, rel=1e-3)
    assert trained(2, 1) == pytest.approx(5 * at_once, rel=0.3)  # five steps


def test_it_learns_the_masks(split, masks, tmp_path):
    model = tmp_path / "network.safetensors"
    run(split, masks, model, tiny(epochs=10, batch_size=2))  # each epoch writes a checkpoint
    maps = SaliencyMaps(scales=(1.0,), map_stride=1)
    extract_network(maps, model, split.images, threads=1, out=tmp_path / "saliency.h5")
    with MapReader(tmp_path / "saliency.h5") as reader:
        assert reader.header.classes == ("salient",)
        found = [(r.maps[0] > 0.5) == scene(i, *r.size)[1] for i, r in enumerate(reader)]
    assert np.mean([same.mean() for same in found]) > 0.95
    whole = tmp_path / "saliency.h5"
    assert_same_in_parts(extract_network, maps, model, split.images, whole, tmp_path)


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
    with pytest.raises(UserError, match="classes red, blue, not salient"):
        run(split, masks, tmp_path / "network.safetensors", tiny())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "val"}, "m.h5: of split val, but .* is of train"),
        ({"wider": 4}, "m.h5: mask 'i0' is of an image of 40x52 pixels, in .* 40x48"),
    ],
)
def test_masks_of_other_images_are_told_before_training(
    changes, message, split, tmp_path, monkeypatch
):
    monkeypatch.setattr("wsss.saliency.train_network.train_to_file", None)
    masks = write_masks(tmp_path / "m.h5", split, **changes)
    with pytest.raises(UserError, match=message):
        run(split, masks, tmp_path / "network.safetensors", tiny())


def test_tiny_images_are_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("wsss.saliency.train_network.train_to_file", None)
    images, masks, png = tmp_path / "train.h5", tmp_path / "m.h5", io.BytesIO()
    Image.fromarray(np.zeros((15, 40, 3), np.uint8)).save(png, format="PNG")
    with ImageWriter(images, Header("images", "train", ("red",))) as writer:
        writer.add(ImageRecord("a", png.getvalue(), (15, 40), np.ones(1, np.uint8)))
    with MaskWriter(masks, Header("masks", "train", ("salient",))) as writer:
        writer.add("a", np.eye(15, 40, dtype=np.uint8))
    options = {"weights": None, "seed": 0, "threads": 1, "out": tmp_path / "network.safetensors"}
    with pytest.raises(UserError, match=r"image 'a' \(40×15 pixels\) is smaller than 16 pixels"):
        train_network(tiny(), images, masks, **options)


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
