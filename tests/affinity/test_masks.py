import io

import numpy as np
import pytest
from PIL import Image

from wsss.affinity.labels import affinity_label, make_labels, salient_label
from wsss.affinity.recipe import LabelsRecipe
from wsss.core.errors import UserError
from wsss.core.files.store import (
    Header,
    ImageReader,
    ImageRecord,
    ImageWriter,
    MapReader,
    MapRecord,
    MapWriter,
    MaskReader,
)
from wsss.core.maps import label_indices, upsample
from wsss.crf.inference import mean_field
from wsss.crf.pseudo import make_pseudo_masks, pseudo_mask
from wsss.crf.recipe import CrfRecipe, CrfSettings, PseudoRecipe
from wsss.crf.refine import refine
from wsss.crf.unary import unary_from_labels

from .conftest import assert_same_in_parts

IDENTITY = CrfSettings(steps=0)


def record(maps, classes, size):
    return MapRecord("one", size, np.array(classes, np.int32), np.asarray(maps, np.float16))


def image(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def test_labels_by_hand_without_smoothing():
    maps = [
        [[0.9, 0.2, 0.04, 0.0], [0.1, 0.31, 0.05, 0.06]],
        [[0.1, 0.5, 0.02, 0.0], [0.2, 0.3, 0.00, 0.00]],
    ]
    label = affinity_label(image((2, 4)), record(maps, [2, 5], (2, 4)), LabelsRecipe(crf=IDENTITY))
    # float16 0.05 is just above 0.05: uncertain, as is 0.06.
    assert label.tolist() == [[2, 5, 0, 0], [255, 2, 0, 255]]


def test_labels_are_two_independent_crfs():
    rng = np.random.default_rng(5)
    coarse = rng.random((2, 6, 7)) ** 2
    picture = np.array(Image.fromarray(image((6, 7))).resize((27, 23), Image.Resampling.BICUBIC))
    recipe = LabelsRecipe(foreground=0.5, background=0.2)
    seeds = record(coarse, [1, 3], (23, 27))
    label = affinity_label(picture, seeds, recipe)
    maps = upsample(seeds.maps, (23, 27))
    f, b = (
        mean_field(
            picture, unary_from_labels(label_indices(maps, t), 3, 0.7), preset="labels", steps=10
        ).argmax(0)
        for t in (0.5, 0.2)
    )
    want = np.array([0, 1, 3])[f]
    want[(f == 0) & (b > 0)] = 255
    assert (label == want).all()
    assert {0, 1, 3, 255} <= set(np.unique(label))


def test_labels_with_saliency_by_hand_without_smoothing():
    maps = [
        [[0.9, 0.2, 0.04, 0.0], [0.1, 0.5, 0.05, 0.6]],
        [[0.1, 0.5, 0.02, 0.0], [0.2, 0.3, 0.00, 0.0]],
    ]
    salient = record([[[0.9, 0.2, 0.1, 0.0], [0.3, 0.05, 0.2, 0.0]]], [1], (2, 4))
    recipe = LabelsRecipe(foreground=0.4, background=0.1, salient=0.15, crf=IDENTITY)
    label = salient_label(image((2, 4)), record(maps, [2, 5], (2, 4)), salient, recipe)
    # A class where it is salient too; background where it is not; 255 where only salient.
    assert label.tolist() == [[2, 5, 0, 0], [255, 0, 255, 0]]


def test_labels_with_saliency_are_a_crf_on_the_other_ones_result():
    rng = np.random.default_rng(6)
    picture = np.array(Image.fromarray(image((6, 7))).resize((27, 23), Image.Resampling.BICUBIC))
    seeds = record(rng.random((2, 6, 7)), [1, 3], (23, 27))
    salient = record(rng.random((1, 6, 7)), [1], (23, 27))
    recipe = LabelsRecipe(foreground=0.5, salient=0.4)
    label = salient_label(picture, seeds, salient, recipe)

    def smooth(labels, n):
        unary = unary_from_labels(labels, n, 0.7)
        return mean_field(picture, unary, preset="labels", steps=10).argmax(0)

    b = smooth((upsample(salient.maps, (23, 27))[0] > 0.4).astype(np.uint8), 2)
    f = smooth((b * label_indices(upsample(seeds.maps, (23, 27)), 0.5)).astype(np.uint8), 3)
    want = np.array([0, 1, 3])[f]
    want[(f == 0) & (b == 1)] = 255
    assert (label == want).all() and {0, 255} < set(np.unique(label))


def test_saliency_of_other_images_or_of_classes_is_refused(files, tmp_path):
    def make(path, classes, names):
        with MapWriter(path, Header("maps", "train", classes)) as writer:
            for name in names:
                size = ImageReader(files.images)[name].size
                writer.add(name, size, np.array([1]), np.ones((1, 2, 2), np.float32))
        return path

    names = ImageReader(files.images).ids
    run = {"workers": 1, "out": tmp_path / "labels.h5"}
    some = make(tmp_path / "some.h5", ("salient",), names[:-1])
    with pytest.raises(UserError, match=f"some.h5: no saliency of '{names[-1]}'"):
        make_labels(LabelsRecipe(), [files.maps], [files.images], saliency=[some], **run)
    other = make(tmp_path / "other.h5", ("cat",), names)
    with pytest.raises(UserError, match=r"other.h5: classes cat, not salient"):
        make_labels(LabelsRecipe(), [files.maps], [files.images], saliency=[other], **run)
    whole = make(tmp_path / "whole.h5", ("salient",), names)
    make_labels(LabelsRecipe(crf=IDENTITY), [files.maps], [files.images], saliency=[whole], **run)
    assert not any((mask == 0).any() for _, mask in list(MaskReader(run["out"]))[:-1])


def test_pseudo_mask_without_crf_is_the_argmax_and_with_crf_follows_the_image():
    picture = np.full((24, 30, 3), 40, np.uint8)
    picture[:, :15] = 220
    seed = np.zeros((1, 24, 30))
    seed[0, :, :15] = 0.8
    seed[0, 4:6, 20:22] = 0.9  # a speck on the wrong side
    one = record(seed, [3], (24, 30))
    plain = pseudo_mask(picture, one, PseudoRecipe(crf=None))
    assert (plain == 3 * (seed[0] > 0.3)).all()
    recipe = PseudoRecipe.from_json('{"crf":{"steps":5,"confidence":0.7}}')
    refined = pseudo_mask(picture, one, recipe)
    assert (refined[:, :15] == 3).all() and (refined[:, 15:] == 0).all()
    assert refined.dtype == np.uint8


@pytest.mark.parametrize("make", ["labels", "pseudo"])
def test_files(files, tmp_path, make):
    out = tmp_path / "out.h5"
    if make == "labels":
        recipe, work = LabelsRecipe(), affinity_label
        make_labels(recipe, [files.maps], [files.images], workers=1, out=out)
    else:
        recipe, work = PseudoRecipe(), pseudo_mask
        make_pseudo_masks(recipe, [files.maps], [files.images], workers=1, out=out)
    maps, masks, images = MapReader(files.maps), MaskReader(out), ImageReader(files.images)
    assert masks.ids == maps.ids and masks.sizes == images.sizes
    assert masks.header.recipe == recipe.to_json()
    assert (masks.header.split, masks.header.classes) == ("train", maps.header.classes)
    for one in maps:
        if len(one.classes):
            with Image.open(io.BytesIO(images[one.id].data)) as picture:
                want = work(np.array(picture), one, recipe)
            assert (masks[one.id] == want).all()
            assert set(np.unique(masks[one.id])) <= {0, 255, *one.classes.tolist()}
        else:
            assert not masks[one.id].any()
        assert make == "labels" or 255 not in masks[one.id]


def test_workers_and_shards_change_nothing(files, tmp_path):
    whole, split = tmp_path / "whole.h5", tmp_path / "split.h5"
    make_pseudo_masks(PseudoRecipe(), [files.maps], [files.images], workers=1, out=whole)
    maps = MapReader(files.maps)
    shards = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path, part in zip(shards, (range(4), range(4, 10)), strict=True):
        with MapWriter(path, maps.header) as writer:
            for i in part:
                one = maps[i]
                writer.add(one.id, one.size, one.classes, one.maps)
    make_pseudo_masks(PseudoRecipe(), shards, [files.images], workers=2, out=split)
    first, second = MaskReader(whole), MaskReader(split)
    assert first.ids == second.ids
    assert all((first[i] == second[i]).all() for i in first.ids)


def labels_of(maps, images, out):
    make_labels(LabelsRecipe(), [maps], [images], workers=1, out=out)


def pseudo_of(maps, images, out):
    make_pseudo_masks(PseudoRecipe(), [maps], [images], workers=1, out=out)


def refined(maps, images, out):
    refine([maps], [images], CrfRecipe(), out, 1)


@pytest.mark.parametrize("make", [labels_of, pseudo_of, refined])
@pytest.mark.parametrize("of", [2, 7])
def test_parts_hold_the_bytes_of_the_whole(make, of, files, tmp_path):
    """A job of a dense CRF takes one part of the maps and writes one of the masks."""

    def masks(maps, out):
        make(maps, files.images, out)

    assert_same_in_parts(masks, files.maps, of, tmp_path, MaskReader, lambda r: r[1:])


def maps_file(path, size=(8, 8), name="scene0", classes=("cat", "dog", "cow"), ids=(1,)):
    with MapWriter(path, Header("maps", "train", classes)) as writer:
        writer.add(name, size, np.array(ids, np.int32), np.zeros((len(ids), 2, 2)))
    return path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "'scene0' is of an image of 8x8 pixels, in .* it has"),
        ({"name": "other"}, "'other' has no image in"),
        ({"classes": ("cat",)}, "m.h5: classes cat, but .* has cat, dog, cow; make the maps again"),
    ],
)
def test_maps_of_other_images_are_refused(files, tmp_path, given, message):
    out = tmp_path / "out.h5"
    with pytest.raises(UserError, match=message):
        make_labels(
            LabelsRecipe(),
            [maps_file(tmp_path / "m.h5", **given)],
            [files.images],
            workers=1,
            out=out,
        )
    assert not out.exists() and list(tmp_path.iterdir()) == [tmp_path / "m.h5"]


def test_maps_with_a_background_of_their_own_are_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(image((8, 8))).save(buffer, format="PNG")
    images = tmp_path / "i.h5"
    classes = ("cat", "dog", "cow")
    with ImageWriter(images, Header("images", "train", classes)) as writer:
        writer.add(ImageRecord("scene0", buffer.getvalue(), (8, 8), np.ones(3, np.uint8)))
    scores = maps_file(tmp_path / "m.h5", ids=(0, 1))
    with pytest.raises(UserError, match="'scene0' have a background channel"):
        make_pseudo_masks(PseudoRecipe(), [scores], [images], workers=1, out=tmp_path / "o.h5")
