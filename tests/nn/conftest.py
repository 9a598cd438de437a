import io

import numpy as np
import pytest
import torch
from PIL import Image

from wsss.core.files.store import Header, ImageRecord, ImageWriter


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


@pytest.fixture
def images_file(tmp_path):
    """write(sizes, labels) → an images file of random pixels, ids i0, i1, …"""

    def write(sizes, labels, name="images.h5"):
        rng = np.random.default_rng(0)
        classes = tuple("abcdefg"[: len(labels[0])])
        with ImageWriter(tmp_path / name, Header("images", "train", classes)) as writer:
            for i, (size, row) in enumerate(zip(sizes, labels, strict=True)):
                image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                writer.add(ImageRecord(f"i{i}", png(image), size, np.array(row, np.uint8)))
        return tmp_path / name

    return write
