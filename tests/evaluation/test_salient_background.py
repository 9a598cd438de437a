"""CAMs whose background is a saliency map: against pixel-by-pixel evaluation."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.files.store import Header, MapReader, MapWriter, MaskWriter
from wsss.core.maps import SALIENT, upsample
from wsss.evaluation import EvaluationRecipe, evaluate_maps
from wsss.evaluation.cli import app
from wsss.evaluation.confusion import confusion_matrix

NAMES = ("cat", "dog", "cow")
SIZE = (24, 30)


def write(folder, split="val", salient_split=None, left_out=(), salient_size=SIZE, seed=0):
    """Three images: of two classes, of one, and of none."""
    rng = np.random.default_rng(seed)
    classes = {"a": np.array([1, 3]), "b": np.array([2]), "c": np.array([], np.int64)}
    with (
        MapWriter(folder / "cam.h5", Header("maps", split, NAMES)) as maps,
        MapWriter(folder / "saliency.h5", Header("maps", salient_split or split, SALIENT)) as sal,
        MaskWriter(folder / "masks.h5", Header("masks", split, NAMES)) as masks,
    ):
        for image_id, present in classes.items():
            cams = rng.random((len(present), 6, 8)).astype(np.float32)
            cams[:, :2] = 0  # no class at all here, whatever is salient
            maps.add(image_id, SIZE, present, cams)
            masks.add(image_id, rng.choice([0, 1, 2, 3, 255], SIZE).astype(np.uint8))
            if image_id not in left_out:
                found = rng.random((1, 12, 15)).astype(np.float32)
                sal.add(image_id, salient_size, np.array([1]), found)
    return {name: folder / f"{name}.h5" for name in ("cam", "saliency", "masks")}


def evaluate(files, **recipe):
    given = {"threshold_from": recipe.pop("threshold_from", None)}
    return evaluate_maps(
        [files["cam"]],
        files["masks"],
        EvaluationRecipe(**recipe),
        saliency=[files["saliency"]],
        **given,
    )


def by_pixel(files, predict):
    """The mIoU of `predict(maps, saliency)` → index of 0 (background) or of the map + 1."""
    from wsss.core.files.store import MaskReader
    from wsss.evaluation.measures import metrics

    maps, saliency, masks = (
        reader(files[name])
        for reader, name in ((MapReader, "cam"), (MapReader, "saliency"), (MaskReader, "masks"))
    )
    confusion = np.zeros((4, 4), np.int64)
    for image_id in maps.ids:
        record = maps[image_id]
        large = upsample(record.maps, SIZE)
        index = predict(large, upsample(saliency[image_id].maps, SIZE)[0])
        ids = np.concatenate([[0], record.classes])[index].astype(np.uint8)
        confusion += confusion_matrix(ids, masks[image_id], 4)
    return metrics(confusion).miou


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_by_threshold_the_salient_pixels_take_their_highest_class(tmp_path, threshold):
    files = write(tmp_path)

    def predict(maps, saliency):
        if not len(maps):
            return np.zeros(SIZE, int)
        index = maps.argmax(0) + 1
        return np.where((saliency > np.float32(threshold)) & (maps.max(0) > 0), index, 0)

    found = evaluate(files)
    at = found["curve"]["thresholds"].index(threshold)
    assert found["curve"]["miou"][at] == pytest.approx(by_pixel(files, predict), abs=1e-12)
    assert found["evaluated"]["kind"] == "maps"
    assert found["evaluated"]["files"] == [str(files["cam"]), str(files["saliency"])]


def test_soft_saliency_competes_with_the_maps(tmp_path):
    files = write(tmp_path)

    def predict(maps, saliency):
        return np.concatenate([1 - saliency[None], maps]).argmax(0)

    found = evaluate(files, saliency_background="soft")
    assert found["metrics"]["miou"] == pytest.approx(by_pixel(files, predict), abs=1e-12)
    assert found["threshold"]["how"] == "none: arg-max of scores"


def test_val_takes_the_threshold_that_train_chose(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "v").mkdir()
    train = evaluate(write(tmp_path / "t", "train", seed=1))
    path = tmp_path / "train.eval.json"
    path.write_text(json.dumps(train))
    val = evaluate(write(tmp_path / "v"), threshold_from=path)
    assert val["threshold"]["value"] == train["threshold"]["value"]
    assert val["threshold"]["how"] == "chosen on train"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"salient_split": "train"}, "saliency.h5: of split train, but .*cam.h5 is of val"),
        ({"left_out": ["b"]}, "saliency.h5: no saliency of 'b'"),
        ({"salient_size": (9, 9)}, "'a' is 9×9, its maps are of 30×24"),
    ],
)
def test_saliency_of_other_images_is_refused(tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        evaluate(write(tmp_path, **changes))


def test_a_threshold_of_the_cam_alone_is_refused(tmp_path):
    files = write(tmp_path, "train")
    path = tmp_path / "cam.train.eval.json"
    path.write_text(json.dumps(evaluate_maps([files["cam"]], files["masks"], EvaluationRecipe())))
    with pytest.raises(UserError, match=r"cam.train.eval.json: was made without --saliency"):
        evaluate(files, threshold_from=path)


def test_without_a_saliency_map_all_is_background(tmp_path):
    files = write(tmp_path)
    with MapWriter(files["saliency"], Header("maps", "val", SALIENT)) as writer:
        for image_id in "abc":
            writer.add(image_id, SIZE, np.array([], np.int64), np.zeros((0, 6, 8), np.float32))
    for how in ("threshold", "soft"):
        found = evaluate(files, saliency_background=how)
        assert sum(c["predicted_pixels"] for c in found["per_class"][1:]) == 0
        assert found["saliency"]["background"] == how


def test_only_saliency_is_taken_for_saliency(tmp_path):
    files = write(tmp_path)
    with pytest.raises(UserError, match="classes cat, dog, cow, not salient; give a saliency file"):
        evaluate(files | {"saliency": files["cam"]})
    with pytest.raises(UserError, match=r"saliency.h5: is saliency itself"):
        evaluate(files | {"cam": files["saliency"]})
    with MapWriter(tmp_path / "scores.h5", Header("maps", "val", NAMES)) as writer:
        writer.add("a", SIZE, np.array([0, 1]), np.ones((2, 3, 3), np.float32))
    with pytest.raises(UserError, match="a background channel of its own; leave --saliency out"):
        evaluate(files | {"cam": tmp_path / "scores.h5"})


def test_command(tmp_path):
    files = write(tmp_path)
    out = tmp_path / "eval.json"
    options = ["--maps", files["cam"], "--saliency", files["saliency"], "--masks", files["masks"]]
    command = ["maps", *options, "--recipe", "{}", "--workers", "2", "--out", out]
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["metrics"] == evaluate(files)["metrics"]
