import csv
import json
import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multilabel_average_precision,
    multilabel_exact_match,
    multilabel_f1_score,
    multilabel_fbeta_score,
    multilabel_precision,
    multilabel_recall,
)
from typer.testing import CliRunner

from wsss.classifier.cli import app
from wsss.classifier.evaluation import average_precision, evaluate, metrics
from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import read_evaluation
from wsss.core.files.model_file import save_model
from wsss.core.files.store import ImageReader
from wsss.core.metrics import METRICS
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

CLASSES = ("red", "green", "blue")


def test_figures_by_hand():
    # Class 0: P = {0, 1, 2}, T = {0, 1, 3}, TP = 2. Class 1: nothing predicted, T = {3}. Class 2
    # is shown by no image, predicted once. ½ itself is no prediction.
    predicted = np.array([[0.9, 0.2, 0.1], [0.8, 0.5, 0.1], [0.7, 0.1, 0.6], [0.4, 0.3, 0.2]])
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]], bool)
    summary, (first, second, third) = metrics(predicted, labels)
    assert first == {
        "ap": pytest.approx(1 / 3 * 1 + 1 / 3 * 1 + 1 / 3 * 3 / 4),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "f2": pytest.approx(2 / 3),
        "images": 3,
        "predicted_images": 3,
    }
    assert second == {
        **dict.fromkeys(("precision", "recall", "f1", "f2"), 0.0),
        **{"ap": pytest.approx(1 / 2), "images": 1, "predicted_images": 0},
    }
    assert third == {
        **{"ap": None, "precision": 0.0, "recall": None, "f1": 0.0, "f2": 0.0},
        **{"images": 0, "predicted_images": 1},
    }
    assert summary == {
        "map": pytest.approx((11 / 12 + 1 / 2) / 2),
        **dict.fromkeys(("precision", "recall", "f1", "f2"), pytest.approx(1 / 3)),
        "micro_f1": pytest.approx(2 * 2 / (4 + 4)),
        "exact_match": 2 / 4,
    }
    assert set(summary) == set(METRICS["classifier"])


def test_figures_are_those_of_torchmetrics():
    rng = np.random.default_rng(0)
    labels = rng.random((60, 5)) < [0.6, 0.4, 0.3, 0.2, 0.1]
    predicted = (0.4 * labels + 0.6 * rng.random((60, 5))).round(2).astype(np.float32)  # ties
    summary, per_class = metrics(predicted, labels)
    scores, truth = torch.from_numpy(predicted), torch.from_numpy(labels).long()
    expected = {
        "f1": multilabel_f1_score(scores, truth, 5),
        "f2": multilabel_fbeta_score(scores, truth, 2.0, 5),
        "map": multilabel_average_precision(scores, truth, 5),
        "precision": multilabel_precision(scores, truth, 5),
        "recall": multilabel_recall(scores, truth, 5),
        "micro_f1": multilabel_f1_score(scores, truth, 5, average="micro"),
        "exact_match": multilabel_exact_match(scores, truth, 5),
    }
    assert summary == {name: pytest.approx(float(v), abs=1e-6) for name, v in expected.items()}
    ap = multilabel_average_precision(scores, truth, 5, average="none")
    assert [row["ap"] for row in per_class] == pytest.approx(ap.tolist(), abs=1e-6)


def test_average_precision_of_ties_does_not_depend_on_their_order():
    labels = np.array([1, 0, 1, 0], bool)
    scores = np.array([0.5, 0.5, 0.5, 0.1])
    assert average_precision(scores, labels) == pytest.approx(2 / 3)
    assert average_precision(scores[[1, 2, 0, 3]], labels[[1, 2, 0, 3]]) == pytest.approx(2 / 3)
    assert math.isnan(average_precision(scores, np.zeros(4, bool)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained network that sees red in every image and green in none."""
    backbone = Backbone(name="resnet10t")
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("model") / "model.safetensors"
    recipe = {"backbone": backbone.model_dump(mode="json"), "head": {}}
    about = {"kind": "classifier", "recipe": recipe, "classes": list(CLASSES), "seed": 4}
    network = CamNetwork(backbone, len(CLASSES))
    network.head.weight.data[0].abs_()
    network.head.weight.data[1] = -network.head.weight.data[1].abs()
    save_model(out, network, about)
    return out


def run(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, (done.output, done.exception)


def test_command(model, images, tmp_path):
    out = tmp_path / "model.val.eval.json"
    run("evaluate", "--model", model, "--images", images, "--out", out)
    read = read_evaluation(out, "train")
    assert read["evaluated"]["kind"] == "classifier" and read["evaluated"]["files"] == [str(model)]
    assert (read["images"], read["classes"], read["seed"]) == (10, list(CLASSES), 4)
    assert read["classes_without_image"] == []
    run("predict", "--model", model, "--images", images, "--out", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    predicted = np.array([[float(p) for p in row[1:]] for row in rows]) > 0.5
    labels = ImageReader(images).labels.astype(bool)
    assert predicted[:, 0].all() and not predicted[:, 1].any()
    for i, row in enumerate(read["per_class"]):
        assert (row["id"], row["class"]) == (i + 1, CLASSES[i])
        assert (row["images"], row["predicted_images"]) == (
            labels[:, i].sum(),
            predicted[:, i].sum(),
        )
    assert read["metrics"]["exact_match"] == pytest.approx((predicted == labels).all(1).mean())
    card = json.loads((tmp_path / "log" / f"{out.name}.run.json").read_text())
    assert card["entry"] == "wsss.classifier.evaluation"


def test_classes_that_no_image_shows_are_named_and_left_out(model, write_images, tmp_path):
    one = write_images(tmp_path / "one.h5", [[1, 0, 0], [0, 0, 0]])
    read = evaluate(model, [one], threads=1)
    assert read["classes_without_image"] == ["green", "blue"]
    assert read["metrics"]["map"] == read["per_class"][0]["ap"]
    assert read["metrics"]["recall"] == read["per_class"][0]["recall"]
    none = write_images(tmp_path / "none.h5", [[0, 0, 0]])
    metrics = evaluate(model, [none], threads=1)["metrics"]
    assert metrics["map"] is metrics["f1"] is None and metrics["exact_match"] is not None


def test_mistakes(model, write_images, tmp_path):
    other = write_images(tmp_path / "other.h5", [[1, 0]], classes=("red", "green"))
    with pytest.raises(UserError, match=r"other\.h5: classes red, green, but .* has red, g"):
        evaluate(model, [other], threads=1)
    with pytest.raises(UserError, match=r"empty\.h5: holds no image"):
        evaluate(model, [write_images(tmp_path / "empty.h5", [])], threads=1)
