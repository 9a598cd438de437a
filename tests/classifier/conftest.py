import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from wsss.classifier.recipe import parse_classifier
from wsss.core.files.store import Header, ImageRecord, ImageWriter

CLASSES = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_images(path, rows, classes=CLASSES):
    """An images file; an image labelled with a class has a disc of its colour on noise."""
    rng = np.random.default_rng(len(rows))
    with ImageWriter(path, Header("images", "train", classes)) as writer:
        for i, row in enumerate(rows):
            height, width = (int(n) for n in rng.integers(32, 49, 2))
            image = rng.integers(60, 140, (height, width, 3), dtype=np.uint8)
            y, x = np.mgrid[:height, :width]
            for channel in np.flatnonzero(row):
                cy, cx = rng.uniform(0.2, 0.8, 2) * (height, width)
                image[(y - cy) ** 2 + (x - cx) ** 2 < 60, channel % 3] = 255
            data = io.BytesIO()
            Image.fromarray(image).save(data, format="PNG")
            labels = np.array(row, np.uint8)
            writer.add(ImageRecord(f"i{i}", data.getvalue(), (height, width), labels))
    return path


@pytest.fixture(scope="session", name="write_images")
def write_images_fixture():
    return write_images


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Ten images; one carries no label at all."""
    rows = [[i % 2, (i // 2) % 2, int(i % 3 == 0)] for i in range(9)] + [[0, 0, 0]]
    return write_images(tmp_path_factory.mktemp("images") / "train.h5", rows)


@pytest.fixture(scope="session")
def recipe():
    """recipe(top={…}, **training): two epochs of resnet10t at 32 px; `top` are other keys."""

    def make(top=None, **training):
        plain = {
            "objective": "vanilla",
            "backbone": {"name": "resnet10t"},
            "augment": {"crop": 32, "resize": {"kind": "long-side", "min": 28, "max": 44}},
            "training": {"epochs": 2, "batch_size": 4, "optimizer": {"lr": 0.01}, **training},
            "label_smoothing": 0.1,
        } | (top or {})
        return parse_classifier(json.dumps(plain))

    return make
