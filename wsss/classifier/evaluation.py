"""How well a classifier finds the classes of whole images, by their image-level labels alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torchmetrics.functional.classification import binary_average_precision

from wsss.classifier.predict import probabilities
from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import Evaluated, Evaluation, Threshold
from wsss.core.files.evaluation_file import number_or_null
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import ImageReader
from wsss.core.log import log, progress
from wsss.core.software import commit
from wsss.nn.cam_network import load_cam_network

THRESHOLD = 0.5  # a class is predicted where its probability is above this


def evaluate(model: Path, images: Sequence[Path], *, threads: int) -> dict[str, Any]:
    """The evaluation of a classifier on the labels of an images file or its shards, JSON-able.

    Images go through the network whole, without augmentation. What is measured: `metrics`.

    Raises UserError for images of other classes than the model's, and for a file without images.
    """
    torch.set_num_threads(threads)
    trained = load_cam_network(model)
    with ImageReader(images) as reader:
        require_classes(reader, trained.classes, of=model, remedy="give files of one data set")
        if not len(reader):
            raise UserError(f"{images[0]}: holds no image; prepare the data set again")
        bar = progress(probabilities(trained, reader), total=len(reader), what="evaluate")
        predicted = np.stack([row for _, row in bar])
        labels = reader.labels.astype(bool)
    absent = [name for name, n in zip(trained.classes, labels.sum(0), strict=True) if n == 0]
    if absent:
        log.warning("%s: no image of %s; left out of the means", images[0], ", ".join(absent))
    summary, per_class = metrics(predicted, labels)
    evaluation = Evaluation(
        evaluated=Evaluated(kind="classifier", files=[str(model)], made_by=trained.recipe),
        ground_truth=", ".join(str(path) for path in images),
        split=reader.header.split,
        images=len(labels),
        classes=list(trained.classes),
        classes_without_image=absent,
        # No value: it is a probability, which nobody must take for a threshold of maps.
        threshold=Threshold(value=None, how=f"probability {THRESHOLD}"),
        tta=None,
        crf=None,
        image_labels=None,
        seed=trained.seed,
        commit=commit(),
        recipe=None,
        metrics=summary,
        fixed=None,
        per_class=[
            {"id": i, "class": name} | row
            for i, (name, row) in enumerate(zip(trained.classes, per_class, strict=True), 1)
        ],
        curve=None,
    )
    return evaluation.document()


def metrics(
    predicted: Float[np.ndarray, "n c"], labels: Bool[np.ndarray, "n c"]
) -> tuple[dict[str, float | None], list[dict[str, float | int | None]]]:
    """Metrics of probabilities in [0, 1] against labels: the summary, and each class's.

    Of a class with T images that show it, P for which its probability is above ½, and TP both:
    precision = TP / P, 0 where nothing is predicted; recall = TP / T; f1 = 2 TP / (P + T);
    f2 = 5 TP / (P + 4 T), which weighs recall twice as much; ap as `average_precision`.

    precision, recall, f1, f2 and map are means over the classes that some image shows; micro_f1 is
    2 Σ TP / Σ (P + T) over all classes; exact_match is the share of images whose every class is
    right. None for what is undefined: recall and ap of a class that no image shows, means over no
    class, and the precision or f1 of a class that is neither shown nor predicted.
    """
    positive = predicted > THRESHOLD
    true = (positive & labels).sum(0).astype(np.float64)
    p, t = positive.sum(0).astype(np.float64), labels.sum(0).astype(np.float64)
    precision = np.where((p == 0) & (t > 0), 0.0, _ratio(true, p))
    values = {
        "ap": np.array([average_precision(predicted[:, i], labels[:, i]) for i in range(len(t))]),
        "precision": precision,
        "recall": _ratio(true, t),
        "f1": _ratio(2 * true, p + t),
        "f2": _ratio(5 * true, p + 4 * t),
    }
    shown = t > 0
    means = {name: float(v[shown].mean()) if shown.any() else None for name, v in values.items()}
    summary = {
        "f1": means["f1"],
        "f2": means["f2"],
        "map": means["ap"],
        "precision": means["precision"],
        "recall": means["recall"],
        "micro_f1": number_or_null(
            _ratio(2 * true.sum(keepdims=True), (p + t).sum(keepdims=True))[0]
        ),
        "exact_match": float((positive == labels).all(1).mean()),
    }
    per_class = [
        {name: number_or_null(v[i]) for name, v in values.items()}
        | {"images": int(t[i]), "predicted_images": int(p[i])}
        for i in range(len(t))
    ]
    return summary, per_class


def average_precision(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """AP = Σ_k (R_k − R_{k−1}) P_k over the distinct scores from the highest down.

    P_k and R_k are precision and recall of predicting whatever scores at least the k-th; no
    interpolation. NaN without a positive label.
    """
    if not labels.any():
        return math.nan
    found = binary_average_precision(torch.from_numpy(scores), torch.from_numpy(labels).long())
    return float(found)


def one_line(read: dict[str, Any]) -> str:
    """F1 and mAP, for the log."""
    shown = [
        f"{label} {'undefined' if value is None else f'{100 * value:.1f} %'}"
        for label, value in (("F1", read["metrics"]["f1"]), ("mAP", read["metrics"]["map"]))
    ]
    return f"{', '.join(shown)} on {read['images']} images"


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " c"]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
