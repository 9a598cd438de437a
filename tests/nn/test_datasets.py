import numpy as np
import pytest
import torch

from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageReader, MaskWriter
from wsss.core.images import decode
from wsss.nn.datasets import LabelledImages, MaskedImages
from wsss.nn.recipe import Augment, Backbone, ResizedCrop
from wsss.nn.transforms import TrainTransform, normalise

BACKBONE = Backbone()
WHOLE = Augment(crop=32, resize=ResizedCrop(min_area=1.0), flip=False)


@pytest.fixture
def images(images_file):
    return images_file([(32, 32), (20, 24), (32, 32)], [[1, 0], [0, 0], [1, 1]])


def masks_file(path, masks, split="train"):
    with MaskWriter(path, Header("masks", split, ("a", "b"))) as writer:
        for name, mask in masks.items():
            writer.add(name, mask)
    return path


def test_labelled_images(images):
    dataset = LabelledImages(images, TrainTransform(WHOLE, BACKBONE))
    assert len(dataset) == 3
    image, labels = dataset[0]
    assert labels.dtype == torch.float32 and labels.tolist() == [1.0, 0.0]
    torch.testing.assert_close(image, normalise(decode(ImageReader(images)[0].data), BACKBONE))
    assert dataset[1][1].tolist() == [0.0, 0.0]


def test_masked_images_are_those_of_the_masks_file(images, tmp_path):
    mask = np.arange(1024, dtype=np.uint8).reshape(32, 32) % 3
    masks = masks_file(tmp_path / "m.h5", {"i2": mask})
    dataset = MaskedImages(images, masks, TrainTransform(WHOLE, BACKBONE))
    assert len(dataset) == 1
    image, found = dataset[0]
    assert found.dtype == torch.uint8 and np.array_equal(found.numpy(), mask)
    torch.testing.assert_close(image, normalise(decode(ImageReader(images)["i2"].data), BACKBONE))


def test_a_mask_without_its_image_is_refused(images, tmp_path):
    masks = masks_file(tmp_path / "m.h5", {"stranger": np.zeros((4, 4), np.uint8)})
    with pytest.raises(UserError, match="mask 'stranger' has no image in"):
        MaskedImages(images, masks, TrainTransform(WHOLE, BACKBONE))


def test_a_mask_of_another_size_is_refused(images, tmp_path):
    masks = masks_file(tmp_path / "m.h5", {"i0": np.zeros((32, 31), np.uint8)})
    with pytest.raises(
        UserError, match=r"m.h5: mask 'i0' is of an image of 32x31 pixels, in .* 32x32"
    ):
        MaskedImages(images, masks, TrainTransform(WHOLE, BACKBONE))


def test_masks_of_another_split_are_refused(images, tmp_path):
    masks = masks_file(tmp_path / "m.h5", {"i0": np.zeros((32, 32), np.uint8)}, split="val")
    with pytest.raises(UserError, match=r"m.h5: of split val, but .* is of train; give"):
        MaskedImages(images, masks, TrainTransform(WHOLE, BACKBONE))
