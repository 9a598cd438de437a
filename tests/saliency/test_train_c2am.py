import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageRecord, ImageWriter, MapReader
from wsss.nn.recipe import Backbone
from wsss.saliency import train_c2am
from wsss.saliency.c2am import C2am, load_c2am
from wsss.saliency.c2am_learner import C2amLearner, at_border
from wsss.saliency.extraction import extract_c2am
from wsss.saliency.hints import STEPS
from wsss.saliency.losses import disentangle, hint_loss, sim_max, sim_min
from wsss.saliency.recipe import C2amAugment, C2amTraining, Hints, SaliencyMaps
from wsss.saliency.train_c2am import train

from .conftest import assert_same_in_parts, scene, tiny, write_split


def run(split, out, recipe=None, **changes):
    recipe = recipe or tiny()
    hints = split.maps if recipe.hints else None
    options = {"hints": hints, "weights": None, "seed": 3, "threads": 1, "out": out} | changes
    train(recipe, split.images, **options)
    return out.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(split, tmp_path_factory):
    return run(split, tmp_path_factory.mktemp("whole") / "c2am.safetensors")


def test_same_seed_same_bytes_and_resumed_too(split, tmp_path, monkeypatch, uninterrupted):
    out = tmp_path / "c2am.safetensors"
    whole_loss = C2amLearner.loss

    def killed_in_epoch_2(self, batch):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return whole_loss(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(C2amLearner, "loss", killed_in_epoch_2)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(split, out)
    assert not out.exists()
    assert run(split, out) == uninterrupted
    assert not list(tmp_path.glob(".checkpoints*"))


def test_hints_change_the_result_and_c2am_needs_none(split, tmp_path, uninterrupted):
    without = run(split, tmp_path / "c2am.safetensors", tiny(hints=False))
    assert without != uninterrupted


def test_hints_teach_where_the_foreground_is(split, tmp_path):
    recipe = tiny(
        training=C2amTraining(epochs=30, batch_size=5, optimizer=tiny().training.optimizer)
    )
    run(split, tmp_path / "c2am.safetensors", recipe)
    maps = SaliencyMaps(scales=(1.0,), flip=False)
    extract_c2am(
        maps, tmp_path / "c2am.safetensors", split.images, threads=1, out=tmp_path / "s.h5"
    )
    with MapReader(tmp_path / "s.h5") as reader:
        assert reader.header.classes == ("salient",) and len(reader) == 10
        for i, record in enumerate(reader):
            inside = scene(i, *record.size)[1][::4, ::4]
            assert record.maps.shape == (1, *inside.shape) and record.maps.max() > 0.99
            assert record.maps[0][inside].mean() > 0.2 + record.maps[0][~inside].mean()
    model, whole = tmp_path / "c2am.safetensors", tmp_path / "s.h5"
    assert_same_in_parts(extract_c2am, maps, model, split.images, whole, tmp_path)


def test_the_loss_takes_every_value_of_the_recipe():
    hints = Hints(threshold=0.6, weight=2.5, label_smoothing=0.3)
    recipe = tiny(rank_decay=0.7).model_copy(update={"hints": hints})
    learner, images = C2amLearner(C2am(recipe.backbone), recipe), torch.randn(4, 3, 64, 64)
    given = torch.full((4, 64, 64), round(0.5 * STEPS), dtype=torch.uint8)
    given[..., 32:] = round(0.7 * STEPS)  # above 0.6 on the right, above 0.4 everywhere
    loss, logs = learner.loss([images, given])

    before, last = learner.network.backbone(images)[-2:]
    features = torch.cat([last, before], 1)
    logits = learner.network.norm(
        functional.conv2d(features, learner.network.head.weight, padding=1)
    )
    f, b = disentangle(features, logits)
    right = torch.zeros(4, 1, 4, 4, dtype=torch.bool)
    right[..., 2:] = True
    expected = sim_max(f, 0.7) + sim_max(b, 0.7) + sim_min(b, f)
    torch.testing.assert_close(loss, expected + 2.5 * hint_loss(logits, right, 0.3))
    assert logs["hinted"] == 0.5


def test_in_bfloat16_the_losses_keep_their_precision():
    recipe = tiny(hints=False)
    learner = C2amLearner(C2am(recipe.backbone), recipe)
    images = torch.randn(1, 3, 48, 48).repeat(4, 1, 1, 1)
    torch.nn.init.zeros_(learner.network.norm.weight)  # p is ½: both sides are the same features
    with torch.autocast("cpu", torch.bfloat16):
        loss, logs = learner.loss([images])
        features, logits = learner.network(images)
    assert logs["apart"].item() == pytest.approx(-math.log(1 - 0.9995), rel=1e-3)
    f, b = disentangle(features, logits)
    torch.testing.assert_close(loss, sim_max(f, 0.25) + sim_max(b, 0.25) + sim_min(b, f))


def test_the_border_is_four_of_28_cells():
    maps = torch.zeros(2, 1, 28, 14)
    maps[..., 4:-4, 2:-2] = 1
    assert len(at_border(maps)) == 2 * (28 * 14 - 20 * 10) and not at_border(maps).any()
    assert len(at_border(torch.zeros(1, 1, 1, 2))) == 2


@pytest.mark.parametrize(("bias", "negative"), [(4.0, True), (-4.0, False)])
def test_a_salient_border_turns_the_sides_round(bias, negative, split, tmp_path):
    recipe = tiny(hints=False)
    learner = C2amLearner(C2am(recipe.backbone), recipe)
    torch.nn.init.constant_(learner.network.norm.bias, bias)
    learner.loss([torch.randn(4, 3, 48, 48)])
    assert learner.is_negative is negative
    hinting = C2amLearner(learner.network, tiny())
    hinting.border.copy_(learner.border)
    assert not hinting.is_negative  # hints say which side is the foreground


def test_the_last_epoch_decides_about_the_border():
    recipe = tiny(hints=False)
    learner, images = C2amLearner(C2am(recipe.backbone), recipe), torch.randn(4, 3, 48, 48)
    for bias, batches, negative in ((4.0, 3, True), (-4.0, 1, False)):
        torch.nn.init.constant_(learner.network.norm.bias, bias)
        learner.on_train_epoch_start()
        for _ in range(batches):
            learner.loss([images])
        assert learner.is_negative is negative


def test_the_model_file_says_negative_and_its_maps_are_of_the_other_side(
    split, tmp_path, monkeypatch
):
    maps, found = SaliencyMaps(scales=(1.0,), flip=False, map_stride=16), []
    for negative in (False, True):
        out = tmp_path / f"{negative}.safetensors"
        monkeypatch.setattr(C2amLearner, "is_negative", negative)
        run(split, out, tiny(hints=False))
        assert load_c2am(out).negative is negative
        extract_c2am(maps, out, split.images, threads=1, out=tmp_path / "s.h5")
        with MapReader(tmp_path / "s.h5") as reader:
            found.append(np.stack([record.maps for record in reader if record.size == (40, 48)]))
    assert ((found[0] == 0) | (found[1] == 0)).all() and all(maps.any() for maps in found)


BAD = {
    "another split": (
        lambda folder: write_split(folder, split="val").maps,
        "cam.val.h5: of split val, but .* is of train",
    ),
    "other classes": (
        lambda folder: write_split(folder, classes=("cat", "dog")).maps,
        "classes cat, dog, but .* has red, blue",
    ),
    "missing ids": (
        lambda folder: write_split(folder, left_out={4, 7}).maps,
        "no hint for image 'i4'",
    ),
    "other sizes": (
        lambda folder: write_split(folder, wider=4).maps,
        "'i0' is of an image of 40x52 pixels, in .* it has 40x48; make the maps again",
    ),
    "a background channel": (
        lambda folder: write_split(folder, background=True).maps,
        "maps of 'i0' have a background channel; give class activation maps",
    ),
    "maps above 1": (
        lambda folder: write_split(folder, maps=lambda disc: 3 * disc).maps,
        "maps of 'i0' from 0 to 3, hints need",
    ),
    "maps below 0": (
        lambda folder: write_split(folder, maps=lambda disc: disc - 0.5).maps,
        "maps of 'i0' from -0.5 to 0.5, hints need",
    ),
    "constant maps": (
        lambda folder: write_split(folder, maps=np.ones_like).maps,
        "its maps are constant",
    ),
    "empty maps": (
        lambda folder: write_split(folder, maps=np.zeros_like).maps,
        "no map reaches hints.threshold 0.4",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_hints_are_told_before_training(name, split, tmp_path, monkeypatch):
    make, message = BAD[name]
    monkeypatch.setattr(train_c2am, "train_to_file", None)
    with pytest.raises(UserError, match=message):
        run(split, tmp_path / "c2am.safetensors", hints=make(tmp_path / "other"))
    assert not (tmp_path / "c2am.safetensors").exists()


def test_tiny_images_are_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(train_c2am, "train_to_file", None)
    images, png = tmp_path / "train.h5", io.BytesIO()
    Image.fromarray(np.zeros((30, 12, 3), np.uint8)).save(png, format="PNG")
    with ImageWriter(images, Header("images", "train", ("red",))) as writer:
        for name in "ab":
            writer.add(ImageRecord(name, png.getvalue(), (30, 12), np.ones(1, np.uint8)))
    says = r"image 'a' \(12×30 pixels\) and 1 more are smaller than 16 pixels; leave"
    options = {"hints": None, "weights": None, "seed": 0, "threads": 1, "out": tmp_path / "m"}
    with pytest.raises(UserError, match=says):
        train(tiny(hints=False), images, **options)


def test_maps_without_an_inside_are_refused():
    with pytest.raises(ValueError, match=r"crop 32 gives maps of 2×2 places, .*give 33 or more"):
        tiny(augment=C2amAugment(crop=32))


def test_a_vgg_is_refused_at_any_stride():
    for stride in (8, 16, 32):
        with pytest.raises(ValueError, match="a VGG are of stride 32 alone; give another"):
            tiny(backbone=Backbone(name="vgg16", output_stride=stride))


@pytest.mark.parametrize("hints", [True, False])
def test_hints_go_with_the_recipe(hints, split, tmp_path):
    given = None if hints else split.maps
    with pytest.raises(UserError, match=r"the recipe's hints are (set|null); .*--hints"):
        run(split, tmp_path / "c2am.safetensors", tiny(hints=hints), hints=given)
