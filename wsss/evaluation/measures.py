"""IoU, over- and under-activation, precision, recall, F1 and accuracy of a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer


@dataclass(frozen=True)
class Metrics:
    """Fractions in [0, 1]; index 0 of an array is the background.

    Of each class, with T pixels in the ground truth, P predicted, TP both, and union T + P − TP:
    iou = TP / union; fp = (P − TP) / union; fn = (T − TP) / union, so that iou + fp + fn = 1;
    precision = TP / P (0 where nothing is predicted); recall = TP / T; f1 = 2 TP / (P + T).
    NaN for a class in neither the ground truth nor the prediction; recall is NaN without T.

    Every mean is over the classes that occur in the ground truth, except miou_all_classes, where
    a class that does not counts 0 (the convention of the published WSSS evaluation scripts).
    over_activation and under_activation are the means of fp and fn over the foreground classes, so
    that miou_foreground + over_activation + under_activation = 1. pixel_accuracy = Σ TP / Σ T.
    """

    iou: Float64[np.ndarray, " c"]
    fp: Float64[np.ndarray, " c"]
    fn: Float64[np.ndarray, " c"]
    precision: Float64[np.ndarray, " c"]
    recall: Float64[np.ndarray, " c"]
    f1: Float64[np.ndarray, " c"]
    miou: float
    miou_all_classes: float
    miou_foreground: float
    over_activation: float
    under_activation: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    pixel_accuracy: float

    def summary(self) -> dict[str, float]:
        """The metrics that are one number, by the names that tables and JSON files use."""
        return {
            "miou": self.miou,
            "miou_all_classes": self.miou_all_classes,
            "miou_foreground": self.miou_foreground,
            "fp": self.over_activation,
            "fn": self.under_activation,
            "precision": self.macro_precision,
            "recall": self.macro_recall,
            "f1": self.macro_f1,
            "pixel_accuracy": self.pixel_accuracy,
        }


def metrics(confusion: Integer[np.ndarray, "c c"]) -> Metrics:
    """The metrics of a confusion matrix (rows ground truth, columns prediction)."""
    true = np.diag(confusion).astype(np.float64)
    truth = confusion.sum(1).astype(np.float64)
    predicted = confusion.sum(0).astype(np.float64)
    union = truth + predicted - true
    iou = _ratio(true, union)
    fp = _ratio(predicted - true, union)
    fn = _ratio(truth - true, union)
    recall = _ratio(true, truth)
    precision = np.where((predicted == 0) & (truth > 0), 0.0, _ratio(true, predicted))
    f1 = _ratio(2 * true, predicted + truth)
    occurs = truth > 0
    foreground = occurs.copy()
    foreground[0] = False
    return Metrics(
        iou=iou,
        fp=fp,
        fn=fn,
        precision=precision,
        recall=recall,
        f1=f1,
        miou=_mean(iou[occurs]),
        miou_all_classes=_mean(np.where(occurs, iou, 0.0)),
        miou_foreground=_mean(iou[foreground]),
        over_activation=_mean(fp[foreground]),
        under_activation=_mean(fn[foreground]),
        macro_precision=_mean(precision[occurs]),
        macro_recall=_mean(recall[occurs]),
        macro_f1=_mean(f1[occurs]),
        pixel_accuracy=_mean(true) / _mean(truth) if truth.any() else float("nan"),
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " c"]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
