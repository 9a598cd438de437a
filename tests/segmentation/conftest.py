"""Small scenes whose masks can be read off the colours, and a network trained on them once."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wsss.core.files.store import Header, ImageRecord, ImageWriter, MaskWriter
from wsss.core.random import generator
from wsss.nn.recipe import Augment, Backbone, LongSide
from wsss.segmentation.recipe import SegmentationOptimizer, SegmentationTraining, TrainRecipe
from wsss.segmentation.train import train

CLASSES = ("red", "blue")
COLOURS = np.array([[90, 120, 90], [220, 60, 50], [40, 70, 220]])


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def scene(index, height, width):
    """A red disc, mostly a blue one too, on green, with noise; the mask has an ignored corner."""
    rng = generator("scene", index)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for class_id in (1, 2) if index % 4 else (1,):
        cy, cx, r = rng.uniform(0.2, 0.8) * height, rng.uniform(0.2, 0.8) * width, height / 4
        mask[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = class_id
    noise = rng.normal(0, 12, (height, width, 3))
    image = (COLOURS[mask] + noise).clip(0, 255).astype(np.uint8)
    mask[:3, :3] = 255
    return image, mask


@dataclass
class Split:
    images: Path
    masks: Path


def write_split(folder, count=12, sizes=((40, 48), (45, 39), (48, 48)), classes=CLASSES, labels=1):
    folder.mkdir(parents=True, exist_ok=True)
    split = Split(folder / "train.h5", folder / "masks.h5")
    with (
        ImageWriter(split.images, Header("images", "train", classes)) as images,
        MaskWriter(split.masks, Header("masks", "train", classes)) as masks,
    ):
        for i in range(count):
            image, mask = scene(i, *sizes[i % len(sizes)])
            present = np.full(len(classes), labels, np.uint8)
            images.add(ImageRecord(f"scene{i:02d}", png(image), mask.shape, present))
            masks.add(f"scene{i:02d}", mask)
    return split


def tiny(**changes):
    """Two epochs of resnet10t at 48 px; `changes` are those of the training section."""
    training = {"epochs": 2, "batch_size": 4, "optimizer": SegmentationOptimizer(lr=0.01)} | changes
    return TrainRecipe(
        backbone=Backbone(name="resnet10t"),
        augment=Augment(crop=48, resize=LongSide(min=48, max=56)),
        training=SegmentationTraining(**training),
    )


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    return write_split(tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="session")
def trained(split, tmp_path_factory):
    """A model file that knows red from blue."""
    out = tmp_path_factory.mktemp("trained") / "model.safetensors"
    recipe = tiny(epochs=5, optimizer=SegmentationOptimizer(lr=0.02, momentum=0.9))
    train(recipe, split.images, split.masks, weights=None, seed=0, threads=1, out=out)
    return out
