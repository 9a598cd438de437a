import io
import json

import h5py
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import to_text
from wsss.core.files.store import (
    Header,
    ImageReader,
    ImageRecord,
    ImageWriter,
    MapReader,
    MapRecord,
    MapWriter,
    MaskReader,
    MaskWriter,
)
from wsss.core.images import decode
from wsss.core.maps import label_indices, upsample
from wsss.crf.cli import app
from wsss.crf.inference import mean_field
from wsss.crf.recipe import CrfRecipe
from wsss.crf.refine import refine, refine_maps, refine_mask
from wsss.crf.unary import unary_from_labels, unary_from_probabilities
from wsss.evaluation.map_evaluation import evaluate_maps
from wsss.evaluation.recipe import EvaluationRecipe

CLASSES = ("cat", "dog", "cow")
SIZE = (24, 32)


def image_of(seed: int) -> np.ndarray:
    """A bright rectangle on a dark ground, with pixel noise."""
    noise = np.random.default_rng(seed).integers(0, 12, (*SIZE, 3), dtype=np.uint8)
    noise[6:18, 8:24] += 150
    return noise


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def noisy_maps(seed: int, classes: list[int]) -> np.ndarray:
    """At stride 4: the first class in the rectangle, noise everywhere."""
    rng = np.random.default_rng(seed)
    maps = rng.random((len(classes), 6, 8)).astype(np.float16) * np.float16(0.45)
    if classes:
        maps[0, 1:5, 2:6] += np.float16(0.4)
    return maps


RECORDS = {"a": [2], "b": [], "c": [1, 3], "d": [3]}


@pytest.fixture
def files(tmp_path):
    """Images in another order than the maps, as a real images file may be."""
    with ImageWriter(tmp_path / "train.h5", Header("images", "train", CLASSES)) as writer:
        for seed, image_id in enumerate("dcbae"):
            labels = np.zeros(3, np.uint8)
            writer.add(ImageRecord(image_id, png(image_of(seed)), SIZE, labels))
    with MapWriter(tmp_path / "cam.h5", Header("maps", "train", CLASSES)) as writer:
        for seed, (image_id, classes) in enumerate(RECORDS.items()):
            ids = np.array(classes, np.int32)
            writer.add(image_id, SIZE, ids, noisy_maps(seed, classes))
    with MaskWriter(tmp_path / "pseudo.h5", Header("masks", "train", CLASSES)) as writer:
        for seed, image_id in enumerate(RECORDS):
            mask = np.random.default_rng(seed).choice(np.array([0, 3, 255], np.uint8), SIZE)
            writer.add(image_id, mask)
    return tmp_path


def record(maps: np.ndarray, classes: list[int]) -> MapRecord:
    return MapRecord("x", SIZE, np.array(classes, np.int32), maps.astype(np.float16))


def with_background(maps: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - maps.max(0, keepdims=True), maps])


def test_a_maps_file_becomes_a_masks_file(files):
    recipe = CrfRecipe(threshold=0.4, steps=3)
    refine([files / "cam.h5"], [files / "train.h5"], recipe, files / "out.h5", 1)
    with MaskReader(files / "out.h5") as masks, ImageReader(files / "train.h5") as images:
        assert masks.ids == list(RECORDS)
        assert (masks.header.split, masks.header.classes) == ("train", CLASSES)
        assert CrfRecipe.from_json(masks.header.recipe) == recipe
        for i, (image_id, classes) in enumerate(RECORDS.items()):
            mask = masks[image_id]
            assert set(np.unique(mask)) <= {0, *classes}
            if classes:
                seeds = label_indices(upsample(noisy_maps(i, classes), SIZE), 0.4)
                unary = unary_from_labels(seeds, len(classes) + 1, 0.7)
                image = decode(images[image_id].data)
                best = mean_field(image, unary, preset="labels", steps=3).argmax(0)
                np.testing.assert_array_equal(mask, np.array([0, *classes])[best])
                assert (mask[8:16, 10:22] == classes[0]).all()
        assert (masks["b"] == 0).all()


def test_workers_change_nothing(files):
    for workers in (1, 2):
        out = files / f"out{workers}.h5"
        refine([files / "pseudo.h5"], [files / "train.h5"], CrfRecipe(), out, workers)
    assert (files / "out1.h5").read_bytes() == (files / "out2.h5").read_bytes()


def test_shards_are_one_file(files):
    with MapReader(files / "cam.h5") as whole:
        for name, ids in (("s0", "ab"), ("s1", "cd")):
            with MapWriter(files / f"{name}.h5", whole.header) as writer:
                for image_id in ids:
                    r = whole[image_id]
                    writer.add(r.id, r.size, r.classes, r.maps)
    refine([files / "cam.h5"], [files / "train.h5"], CrfRecipe(), files / "1.h5", 1)
    shards = [files / "s0.h5", files / "s1.h5"]
    refine(shards, [files / "train.h5"], CrfRecipe(), files / "2.h5", 1)
    assert (files / "1.h5").read_bytes() == (files / "2.h5").read_bytes()


def test_background_power():
    maps = noisy_maps(0, [1, 3])
    recipe = CrfRecipe(unary="background-power", alpha=4.0, steps=2)
    up = upsample(maps, SIZE)
    scores = np.concatenate([(1 - up.max(0, keepdims=True)) ** 4, up])
    unary = unary_from_probabilities(scores)
    best = mean_field(image_of(0), unary, preset="probabilities", steps=2).argmax(0)
    mask = refine_maps(image_of(0), record(maps, [1, 3]), recipe)
    np.testing.assert_array_equal(mask, np.array([0, 1, 3])[best])


def test_a_higher_alpha_gives_more_foreground():
    shares = [
        refine_maps(
            image_of(0),
            record(noisy_maps(0, [1]), [1]),
            CrfRecipe(unary="background-power", alpha=alpha, steps=0),
        ).mean()
        for alpha in (1.0, 4.0, 16.0)
    ]
    assert shares[0] < shares[1] < shares[2]


def test_scores_are_divided_by_their_sum():
    maps = with_background(noisy_maps(1, [1, 3])).astype(np.float32)
    recipe = CrfRecipe(unary="scores", confidence=0.8, steps=2)
    up = upsample(maps.astype(np.float16), SIZE)
    unary = unary_from_probabilities(up / up.sum(0), confidence=0.8)
    best = mean_field(image_of(1), unary, preset="probabilities", steps=2).argmax(0)
    mask = refine_maps(image_of(1), record(maps, [0, 1, 3]), recipe)
    np.testing.assert_array_equal(mask, np.array([0, 1, 3])[best])
    assert set(np.unique(mask)) == {0, 1}


def test_no_steps_keep_the_argmax():
    maps = noisy_maps(2, [2, 3])
    mask = refine_maps(image_of(2), record(maps, [2, 3]), CrfRecipe(threshold=0.4, steps=0))
    seeds = label_indices(upsample(maps, SIZE), 0.4)
    np.testing.assert_array_equal(mask, np.array([0, 2, 3])[seeds])


def test_mask_noise_and_uncertain_pixels_get_the_class_of_their_surroundings():
    truth = np.zeros(SIZE, np.uint8)
    truth[6:18, 8:24] = 3
    rng = np.random.default_rng(0)
    mask = np.where(rng.random(SIZE) < 0.1, rng.choice([0, 3], SIZE), truth).astype(np.uint8)
    mask[rng.random(SIZE) < 0.2] = 255
    mask[8:12, 10:14] = 255
    refined = refine_mask(image_of(0), mask, CrfRecipe())
    assert (refined == truth).mean() > 0.99


def test_uncertain_pixels_pull_nowhere():
    """Without steps all classes are equal there, and the first one is taken."""
    mask = np.full(SIZE, 3, np.uint8)
    mask[0, :4] = [1, 255, 255, 0]
    refined = refine_mask(image_of(0), mask, CrfRecipe(steps=0))
    assert refined[0, :5].tolist() == [1, 0, 0, 0, 3]


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 0], 0), ([2, 2], 2), ([2, 255], 2), ([255, 255], 255)]
)
def test_masks_of_one_class(values, expected):
    mask = np.full(SIZE, values[0], np.uint8)
    mask[:, ::2] = values[1]
    assert (refine_mask(image_of(0), mask, CrfRecipe()) == expected).all()


def test_an_image_size_that_is_no_multiple_of_the_stride():
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    maps = MapRecord("x", (17, 23), np.array([1], np.int32), np.ones((1, 5, 6), np.float16))
    assert (refine_maps(image, maps, CrfRecipe()) == np.ones((17, 23))).all()


def test_what_does_not_fit_is_one_line(files):
    cam, train, out = files / "cam.h5", files / "train.h5", files / "out.h5"
    scores = CrfRecipe(unary="scores")
    with pytest.raises(UserError, match=r"cam\.h5: 'a': no background channel"):
        refine([cam], [train], scores, out, 1)
    with pytest.raises(UserError, match=r"pseudo\.h5: holds masks"):
        refine([files / "pseudo.h5"], [train], scores, out, 1)
    with pytest.raises(UserError, match=r"train\.h5: holds images"):
        refine([train], [train], scores, out, 1)
    with pytest.raises(UserError, match=r"cam\.h5: holds maps, but images"):
        refine([cam], [cam], scores, out, 1)
    with pytest.raises(UserError, match="no input"):
        refine([], [train], scores, out, 1)
    prediction = files / "prediction.h5"
    with MapWriter(prediction, Header("maps", "train", CLASSES)) as writer:
        maps = with_background(noisy_maps(0, [1]))
        writer.add("a", SIZE, np.array([0, 1], np.int32), maps)
    with pytest.raises(UserError, match=r"'a': has a background channel; .* not \"labels\""):
        refine([prediction], [train], CrfRecipe(), out, 2)
    assert not out.exists()
    assert not list(files.glob(".*tmp"))


@pytest.mark.parametrize(("values", "said"), [(3.0, "from 3 to 3"), (-0.5, "from -0.5 to -0.5")])
def test_maps_that_are_no_scores(values, said):
    maps = np.full((1, 2, 2), values)
    with pytest.raises(UserError, match=f"maps {said}, a dense CRF needs"):
        refine_maps(image_of(0), record(maps, [1]), CrfRecipe())


@pytest.mark.parametrize(
    ("image_id", "size", "classes", "message"),
    [
        ("unknown", SIZE, CLASSES, r"map 'unknown' has no image in .*train\.h5"),
        ("a", (32, 24), CLASSES, "'a' is of an image of 32x24 pixels, in .* it has 24x32"),
        ("a", SIZE, ("car",), "other.h5: classes car, but .* has "),
    ],
)
def test_files_of_other_images(files, image_id, size, classes, message):
    with MapWriter(files / "other.h5", Header("maps", "train", classes)) as writer:
        writer.add(image_id, size, np.array([1], np.int32), np.ones((1, 6, 8), np.float16))
    with pytest.raises(UserError, match=message):
        refine([files / "other.h5"], [files / "train.h5"], CrfRecipe(), files / "out.h5", 1)
    assert not (files / "out.h5").exists()


def test_command_line(files):
    out = files / "cam.crf-labels.h5"
    arguments = ["refine", "--input", files / "cam.h5", "--images", files / "train.h5"]
    arguments += ["--recipe", '{"steps":2}', "--out", out]
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    with h5py.File(out) as file:
        assert file.attrs["kind"] == "masks"
    card = json.loads((files / "log" / "cam.crf-labels.h5.run.json").read_text())
    assert card["recipe"]["threshold"] == 0.3
    assert card["entry"] == "wsss.crf.refine"


def test_presets_table():
    done = CliRunner().invoke(app, ["presets"], catch_exceptions=False)
    rows = [line.split() for line in done.output.splitlines()]
    assert ["deeplab-v2", "1", "3", "67", "3", "4", "DeepLab", "v2"] in rows


def test_a_threshold_of_train_is_the_one_that_the_evaluation_chose(files):
    with MaskWriter(files / "truth.h5", Header("masks", "train", CLASSES)) as writer:
        for image_id in RECORDS:
            mask = np.zeros(SIZE, np.uint8)
            mask[6:18, 8:24] = (RECORDS[image_id] or [0])[0]
            writer.add(image_id, mask)
    found = evaluate_maps(
        [files / "cam.h5"],
        files / "truth.h5",
        EvaluationRecipe(),
        threshold_from=None,
        seed=0,
        workers=1,
    )
    evaluation = files / "cam.train.eval.json"
    evaluation.write_text(to_text(found))
    value = found["threshold"]["value"]
    source, images = [files / "cam.h5"], [files / "train.h5"]
    refine(source, images, CrfRecipe(threshold_on="train"), files / "a.h5", 1, evaluation)
    refine(source, images, CrfRecipe(threshold=value), files / "b.h5", 1)
    a, b = MaskReader(files / "a.h5"), MaskReader(files / "b.h5")
    assert a.header.extra["threshold_from"] == str(evaluation)
    for image_id in RECORDS:
        np.testing.assert_array_equal(a[image_id], b[image_id])
    with pytest.raises(UserError, match="goes with a recipe of `threshold_on: train`"):
        refine(source, images, CrfRecipe(threshold_on="train"), files / "c.h5", 1)
    evaluation.write_text(json.dumps(found | {"split": "val"}))
    with pytest.raises(UserError, match="is of split val, but train is needed here"):
        refine(source, images, CrfRecipe(threshold_on="train"), files / "c.h5", 1, evaluation)
    evaluation.write_text(json.dumps(found | {"threshold": found["threshold"] | {"value": 0.0}}))
    with pytest.raises(UserError, match="threshold 0 is of no use here"):
        refine(source, images, CrfRecipe(threshold_on="train"), files / "c.h5", 1, evaluation)
    assert not (files / "c.h5").exists()
