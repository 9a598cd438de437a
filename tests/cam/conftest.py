import io

import numpy as np
import pytest
import torch
from PIL import Image

from wsss.core.files.model_file import save_model
from wsss.core.files.store import Header, ImageRecord, ImageWriter
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

CLASSES = ("cat", "dog", "cow")
SIZES = ((40, 52), (33, 47), (40, 52), (52, 40), (33, 47))
LABELS = ((1, 0, 1), (0, 1, 0), (0, 0, 0), (1, 1, 1), (0, 0, 1))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_images(path, numbers, classes=CLASSES):
    with ImageWriter(path, Header("images", "val", classes)) as writer:
        for i in numbers:
            pixels = np.random.default_rng(i).integers(0, 256, (*SIZES[i], 3), dtype=np.uint8)
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, format="PNG")
            labels = np.array(LABELS[i], np.uint8)
            writer.add(ImageRecord(f"i{i}", data.getvalue(), SIZES[i], labels))
    return path


@pytest.fixture(scope="session", name="write_images")
def write_images_fixture():
    return write_images


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Five images of three sizes with two, one, no, three and one class."""
    return write_images(tmp_path_factory.mktemp("images") / "val.h5", range(5))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A classifier with random weights whose maps are positive in places, as a file."""
    torch.manual_seed(0)
    backbone = Backbone(name="resnet10t", output_stride=16)
    recipe = {"objective": "vanilla", "backbone": backbone.model_dump(mode="json"), "head": {}}
    about = {"kind": "classifier", "recipe": recipe, "classes": list(CLASSES), "seed": 7}
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    network = CamNetwork(backbone, len(CLASSES)).train()
    with torch.no_grad():
        for _ in range(10):  # running statistics of BatchNorm
            network(torch.randn(8, 3, 48, 48))
        features = network.eval().backbone(torch.randn(8, 3, 48, 48)).mean((0, 2, 3))
        weight = network.head.weight[:, :, 0, 0]
        weight -= torch.outer(weight @ features, features) / features.dot(features)
    save_model(path, network, about)
    return path
