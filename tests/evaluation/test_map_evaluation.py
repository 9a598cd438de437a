import json

import numpy as np
import pytest
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.files.store import (
    Header,
    ImageRecord,
    ImageWriter,
    MapReader,
    MapWriter,
    MaskReader,
    MaskWriter,
)
from wsss.core.maps import label_indices, labels_to_ids, upsample
from wsss.crf.recipe import CrfRecipe
from wsss.evaluation import EvaluationRecipe, confusion_matrix, evaluate_maps, metrics
from wsss.evaluation.cli import app

NAMES = ("cat", "dog", "sheep")
TTA = {"scales": [0.5, 1.0], "flip": True}


def write_masks(path, ids, *, split="val", size=(20, 24), classes=NAMES):
    with MaskWriter(path, Header("masks", split, classes)) as writer:
        for i in ids:
            rng = np.random.default_rng(i)
            mask = rng.integers(0, len(classes) + 1, (size[0] // 4, size[1] // 4)).astype(np.uint8)
            mask = mask.repeat(4, 0).repeat(4, 1)
            mask[0] = 255
            writer.add(f"image{i}", mask)
    return path


def write_maps(path, ids, *, scores=False, size=(20, 24), extra=None, split="val", classes=NAMES):
    header = Header("maps", split, classes, json.dumps(TTA), extra)
    with MapWriter(path, header) as writer:
        for i in ids:
            rng = np.random.default_rng(100 + i)
            present = np.arange(4) if scores else rng.choice([1, 2, 3], i % 3, replace=False)
            writer.add(f"image{i}", size, present, rng.random((len(present), 5, 6)))
    return path


@pytest.fixture
def masks(tmp_path):
    return write_masks(tmp_path / "val.masks.h5", range(4))


def brute_force(maps, masks, threshold):
    total = np.zeros((4, 4), np.int64)
    for image_id, truth in MaskReader(masks):
        record = MapReader(maps)[image_id]
        indices = label_indices(upsample(record.maps, truth.shape), threshold)
        total += confusion_matrix(labels_to_ids(indices, record.classes), truth, 4)
    return metrics(total)


def test_maps_best_fixed_and_curve(tmp_path, masks):
    extra = {"image_labels": "given"}
    maps = write_maps(tmp_path / "cam.val.h5", range(6), extra=extra)
    recipe = EvaluationRecipe(start=0.05, stop=0.95, step=0.05, fixed_threshold=0.255)
    result = evaluate_maps([maps], masks, recipe, seed=3)
    thresholds = result["curve"]["thresholds"]
    assert len(thresholds) == 20 and 0.255 in thresholds
    mious = [brute_force(maps, masks, t).miou for t in thresholds]
    np.testing.assert_allclose(result["curve"]["miou"], mious, rtol=1e-12)
    assert result["metrics"]["miou"] == pytest.approx(max(mious))
    assert result["threshold"]["value"] == thresholds[int(np.argmax(mious))]
    assert result["threshold"]["how"] == "best on this split"
    assert result["fixed"]["threshold"] == 0.255
    expected = brute_force(maps, masks, 0.255)
    assert result["fixed"]["metrics"]["miou"] == pytest.approx(expected.miou)
    assert result["fixed"]["metrics"]["fp"] == pytest.approx(expected.over_activation)
    assert (result["images"], result["images_in_file"], result["split"]) == (4, 6, "val")
    assert (result["tta"], result["crf"], result["image_labels"]) == (TTA, None, "given")
    assert result["classes"] == ["background", *NAMES] and result["seed"] == 3
    cat = result["per_class"][1]
    assert cat["class"] == "cat" and cat["iou"] + cat["fp"] + cat["fn"] == pytest.approx(1)
    assert sum(c["predicted_pixels"] for c in result["per_class"]) == 4 * 19 * 24


def test_threshold_from_train(tmp_path, masks):
    maps = write_maps(tmp_path / "cam.val.h5", range(4))
    train_masks = write_masks(tmp_path / "train.masks.h5", range(10, 14), split="train")
    train_maps = write_maps(tmp_path / "cam.train.h5", range(10, 14), split="train")
    train = tmp_path / "cam.train.eval.json"
    train.write_text(json.dumps(evaluate_maps([train_maps], train_masks, EvaluationRecipe())))
    chosen = json.loads(train.read_text())["threshold"]["value"]
    coarse = EvaluationRecipe(start=0.05, stop=0.8, step=0.05)
    result = evaluate_maps([maps], masks, coarse, threshold_from=train)
    assert result["threshold"] == {"value": chosen, "how": "chosen on train", "source": str(train)}
    assert result["metrics"]["miou"] == pytest.approx(brute_force(maps, masks, chosen).miou)


def test_scores_are_arg_maxed(tmp_path, masks):
    maps = write_maps(tmp_path / "prediction.val.h5", range(4), scores=True)
    result = evaluate_maps([maps], masks, EvaluationRecipe())
    total = np.zeros((4, 4), np.int64)
    for image_id, truth in MaskReader(masks):
        prediction = upsample(MapReader(maps)[image_id].maps, truth.shape).argmax(0)
        total += confusion_matrix(prediction, truth, 4)
    assert result["metrics"]["miou"] == metrics(total).miou
    assert result["threshold"]["how"] == "none: arg-max of scores"
    assert result["curve"] is None and result["fixed"] is None


def test_scores_of_given_labels_only(tmp_path, masks):
    maps = write_maps(tmp_path / "prediction.val.h5", range(4), scores=True)
    labels = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]], np.uint8)
    images = tmp_path / "val.h5"
    with ImageWriter(images, Header("images", "val", NAMES)) as writer:
        for i, row in enumerate(labels):
            writer.add(ImageRecord(f"image{i}", b"not looked at", (20, 24), row))
    result = evaluate_maps([maps], masks, EvaluationRecipe(), image_labels=images)
    total = np.zeros((4, 4), np.int64)
    for (image_id, truth), row in zip(MaskReader(masks), labels, strict=True):
        scores = upsample(MapReader(maps)[image_id].maps, truth.shape)
        scores[1:][row == 0] = -1
        total += confusion_matrix(scores.argmax(0), truth, 4)
    assert result["metrics"]["miou"] == metrics(total).miou
    assert result["image_labels"] == "given"


def test_given_labels_need_scores_and_the_right_images(tmp_path, masks):
    images = tmp_path / "val.h5"
    with ImageWriter(images, Header("images", "val", NAMES)) as writer:
        writer.add(ImageRecord("image0", b"x", (20, 24), np.zeros(3, np.uint8)))
    scores = write_maps(tmp_path / "prediction.val.h5", range(4), scores=True)
    with pytest.raises(UserError, match=r"no image of 'image1.*"):
        evaluate_maps([scores], masks, EvaluationRecipe(), image_labels=images)
    cams = write_maps(tmp_path / "cam.val.h5", range(4))
    with pytest.raises(UserError, match="leave --image-labels out"):
        evaluate_maps([cams], masks, EvaluationRecipe(), image_labels=images)


def test_shards_and_workers_give_the_same(tmp_path, masks):
    whole = write_maps(tmp_path / "cam.val.h5", range(4))
    shards = [
        write_maps(tmp_path / "a.h5", range(2)),
        write_maps(tmp_path / "b.h5", range(2, 4)),
    ]
    one = evaluate_maps([whole], masks, EvaluationRecipe())
    two = evaluate_maps(shards, masks, EvaluationRecipe(), workers=2)
    assert one["metrics"] == two["metrics"] and one["curve"] == two["curve"]


def test_mistakes(tmp_path, masks):
    recipe = EvaluationRecipe()
    few = write_maps(tmp_path / "few.h5", range(2))
    with pytest.raises(UserError, match=r"no maps of 'image2', which has a mask\n.*'image3'"):
        evaluate_maps([few], masks, recipe)
    other = write_maps(tmp_path / "other.h5", range(4), size=(20, 25))
    with pytest.raises(UserError, match="'image0' is 25×20, its ground truth 24×20"):
        evaluate_maps([other], masks, recipe)
    classes = write_maps(tmp_path / "classes.h5", range(4), classes=("cat", "dog", "cow"))
    with pytest.raises(UserError, match=r"classes cat, dog, sheep, but .* cat, dog, cow"):
        evaluate_maps([classes], masks, recipe)
    train = write_maps(tmp_path / "train.h5", range(4), split="train")
    with pytest.raises(UserError, match=r"of split train, but .* is of val"):
        evaluate_maps([train], masks, recipe)
    mixed = [
        write_maps(tmp_path / "c.h5", range(2)),
        write_maps(tmp_path / "d.h5", [2, 3], scores=True),
    ]
    with pytest.raises(UserError, match="'image2' and others differ in having a background"):
        evaluate_maps(mixed, masks, recipe)
    scores = write_maps(tmp_path / "scores.h5", range(4), scores=True)
    with pytest.raises(UserError, match="leave --threshold-from out"):
        evaluate_maps([scores], masks, recipe, threshold_from=tmp_path / "x.json")


def test_useless_threshold_files(tmp_path, masks):
    maps = write_maps(tmp_path / "cam.val.h5", range(4))
    train_masks = write_masks(tmp_path / "train.masks.h5", range(4), split="train")
    scores = write_maps(tmp_path / "scores.h5", range(4), scores=True, split="train")
    of_val = evaluate_maps([maps], masks, EvaluationRecipe())
    path = tmp_path / "scores.eval.json"
    path.write_text(json.dumps(evaluate_maps([scores], train_masks, EvaluationRecipe())))
    for text, message in [
        (None, "evaluates scores, which chooses no threshold"),
        (json.dumps(of_val), "is of split val, but train is needed here"),
        (json.dumps(of_val | {"split": None}), "names no split, but train is needed here"),
        ("{}", "no evaluation of this version"),
        ('{"format":"wsss evaluation","version":1}', "incomplete, without evaluated.kind, split"),
        ("{", "not JSON"),
    ]:
        if text is not None:
            path.write_text(text)
        with pytest.raises(UserError, match=message):
            evaluate_maps([maps], masks, EvaluationRecipe(), threshold_from=path)
    with pytest.raises(UserError, match="no such file"):
        evaluate_maps([maps], masks, EvaluationRecipe(), threshold_from=tmp_path / "absent.json")


def test_ground_truth_of_nothing_but_ignored_pixels(tmp_path):
    maps = write_maps(tmp_path / "cam.val.h5", [1])
    with MaskWriter(tmp_path / "m.h5", Header("masks", "val", NAMES)) as writer:
        writer.add("image1", np.full((20, 24), 255, np.uint8))
    with pytest.raises(UserError, match="every pixel is 255"):
        evaluate_maps([maps], tmp_path / "m.h5", EvaluationRecipe())


def test_provenance_through_a_chain_of_sources(tmp_path, masks):
    source = {"kind": "maps", "recipe": TTA, "extra": {"image_labels": "given"}}
    refined = CrfRecipe().to_json()
    header = Header("masks", "val", NAMES, refined, {"source": source})
    with MaskWriter(tmp_path / "cam.val.crf-labels.h5", header) as writer:
        for image_id, mask in MaskReader(masks):
            writer.add(image_id, np.where(mask == 255, 0, mask).astype(np.uint8))
    out = tmp_path / "out.json"
    arguments = ["masks", "--predictions", str(tmp_path / "cam.val.crf-labels.h5")]
    arguments += ["--ground-truth", str(masks), "--recipe", "{}", "--out", str(out)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads(out.read_text())
    assert result["metrics"]["miou"] == 1
    assert result["tta"] == TTA and result["image_labels"] == "given"
    assert result["crf"] == {"preset": "labels", "steps": 10, "confidence": 0.7}
    assert result["threshold"] == {"value": 0.3, "how": "fixed by recipe", "source": None}


def test_command_writes_json_card_and_figure(tmp_path, masks):
    maps = write_maps(tmp_path / "cam.val.h5", range(4))
    out, figure = tmp_path / "cam.val.eval.json", tmp_path / "curve.png"
    run = CliRunner().invoke
    arguments = ["maps", "--maps", str(maps), "--masks", str(masks), "--recipe", "{}"]
    done = run(app, [*arguments, "--out", str(out), "--seed", "1"], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(out.read_text())["seed"] == 1
    card = json.loads((tmp_path / "log" / "cam.val.eval.json.run.json").read_text())
    assert card["entry"] == "wsss.evaluation.map_evaluation" and card["recipe"]["step"] == 0.01
    for _ in range(2):
        before = figure.read_bytes() if figure.exists() else None
        arguments = ["curve", "--eval", str(out), "--eval", str(out), "--out", str(figure)]
        assert run(app, arguments, catch_exceptions=False).exit_code == 0
    assert figure.read_bytes() == before and before.startswith(b"\x89PNG")


def test_curve_of_masks_is_refused(tmp_path, masks):
    from wsss.evaluation.figure import curve_figure

    scores = write_maps(tmp_path / "scores.h5", range(4), scores=True)
    path = tmp_path / "scores.eval.json"
    path.write_text(json.dumps(evaluate_maps([scores], masks, EvaluationRecipe())))
    with pytest.raises(UserError, match="has no curve, it is of scores"):
        curve_figure([path])


def test_recipe_thresholds_and_mistakes():
    assert EvaluationRecipe().thresholds()[:3] == [0.01, 0.02, 0.03]
    assert EvaluationRecipe().thresholds()[-1] == 0.99
    assert EvaluationRecipe(start=0.05, stop=0.8, step=0.05).thresholds()[-1] == 0.8
    with pytest.raises(UserError, match=r"stop 0.1 is below start 0.5"):
        EvaluationRecipe.from_json('{"start": 0.5, "stop": 0.1}')
