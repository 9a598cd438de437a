import json

import pytest
from safetensors import safe_open

from wsss.core.errors import UserError
from wsss.segmentation.learner import SegmentationLearner
from wsss.segmentation.network import load_segmenter
from wsss.segmentation.train import train

from .conftest import tiny, write_split


def run(split, out, recipe=None, **changes):
    options = {"weights": None, "seed": 3, "threads": 1, "out": out} | changes
    train(recipe or tiny(), split.images, split.masks, **options)
    return out.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(split, tmp_path_factory):
    return run(split, tmp_path_factory.mktemp("whole") / "model.safetensors")


def test_same_seed_same_bytes_and_resumed_too(split, tmp_path, monkeypatch, uninterrupted):
    out = tmp_path / "model.safetensors"
    whole_loss = SegmentationLearner.loss

    def killed_in_epoch_2(self, batch):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return whole_loss(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationLearner, "loss", killed_in_epoch_2)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(split, out)
    assert not out.exists()
    assert list(tmp_path.glob(".checkpoints-model/*/last.ckpt"))

    seen = []

    def counted(self, batch):
        seen.append(self.current_epoch)
        return whole_loss(self, batch)

    monkeypatch.setattr(SegmentationLearner, "loss", counted)
    assert run(split, out) == uninterrupted
    assert set(seen) == {1}  # resumed, not begun again
    assert not list(tmp_path.glob(".checkpoints*"))


def test_another_seed_gives_other_weights(split, tmp_path, uninterrupted):
    assert run(split, tmp_path / "model.safetensors", seed=4) != uninterrupted


def test_the_model_file_says_what_it_is(trained):
    with safe_open(trained, framework="pt") as file:
        about = json.loads(file.metadata()["wsss"])
    assert about["kind"] == "segmentation"
    assert about["classes"] == ["red", "blue"]
    assert about["recipe"]["backbone"]["name"] == "resnet10t"
    assert load_segmenter(trained).network.head.out_channels == 3


def test_image_level_labels_are_not_read(tmp_path, uninterrupted):
    other = write_split(tmp_path / "other", labels=0)
    assert run(other, tmp_path / "model.safetensors") == uninterrupted


def test_masks_of_other_images_are_refused(split, tmp_path):
    other = write_split(tmp_path / "other", count=14)
    other.images = split.images
    with pytest.raises(UserError, match="mask 'scene12' has no image"):
        run(other, tmp_path / "model.safetensors")


def test_masks_of_other_classes_are_refused(split, tmp_path):
    other = write_split(tmp_path / "other", classes=("cat", "dog"))
    other.images = split.images
    with pytest.raises(UserError, match=r"classes cat, dog, but .* has red, blue; make the masks"):
        run(other, tmp_path / "model.safetensors")


def test_weights_that_the_recipe_does_not_ask_for_are_refused(split, tmp_path, trained):
    with pytest.raises(UserError, match=r"backbone\.weights is null"):
        run(split, tmp_path / "model.safetensors", weights=trained)


def test_too_few_images_for_a_batch(split, tmp_path):
    with pytest.raises(UserError, match="12 training images make no full batch of 13"):
        run(split, tmp_path / "model.safetensors", tiny(batch_size=13))
