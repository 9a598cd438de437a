"""How often a map's box overlaps the object's: MaxBoxAcc and MaxBoxAccV2 (Choe et al. 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from wsss.explain.localization.boxes import Boxes, find_boxes, iou

DELTAS = (0.3, 0.5, 0.7)
HALF = DELTAS.index(0.5)


class BoxAccuracies(NamedTuple):
    """In percent. pairs: how many were counted; without any, the numbers are NaN.

    largest, any: BoxAcc at each δ of DELTAS and each threshold, of the largest contour's box and of
    the best of all contours' boxes. max_box_acc: the highest of `largest` at δ = 0.5;
    max_box_acc_v2: the mean over δ of the highest of `any` at that δ. threshold, thresholds_v2:
    where these are, the lowest of several. They are chosen on the evaluated split, as published.
    """

    max_box_acc: float
    threshold: float
    max_box_acc_v2: float
    thresholds_v2: Float64[np.ndarray, " d"]
    largest: Float64[np.ndarray, "d t"]
    any: Float64[np.ndarray, "d t"]
    pairs: int


class BoxAccuracy:
    """Counts maps whose box overlaps a box of the ground truth with an IoU of at least δ.

    step: between thresholds 0, step, … below 1; 0.001 in published tables of training runs, 0.01 in
    the stand-alone tool. percentile: what the thresholds are shares of (`find_boxes`); published
    numbers are with 100.
    """

    def __init__(self, step: float = 0.01, percentile: float | int = 100):
        self.thresholds = np.arange(0, 1, step)
        self.pairs = 0
        self._percentile = percentile
        self._largest = np.zeros((len(DELTAS), len(self.thresholds)), np.int64)
        self._any = np.zeros_like(self._largest)

    def update(self, scores: Float[np.ndarray, "h w"], truth: Int[np.ndarray, "g 4"]) -> None:
        """Add the map of a class, in [0, 1], and the boxes of that class in the map's pixels.

        The benchmark has one map per image, of its one class; here each class of an image brings
        its own. Without boxes of the class the pair does not count. Published numbers are at 224²
        (`score_map`, `resize_boxes`). Raises ValueError for scores outside [0, 1].
        """
        if len(truth):
            self.count(find_boxes(scores, self.thresholds, percentile=self._percentile), truth)

    def count(self, found: Boxes, truth: Int[np.ndarray, "g 4"]) -> None:
        """Add the boxes of a map at `thresholds`, and its class's boxes, at least one."""
        overlap = iou(found.boxes, truth).max(1)
        deltas = np.array(DELTAS)[:, None]
        self._largest += overlap[found.largest][found.image] >= deltas
        self._any += np.maximum.reduceat(overlap, found.starts)[found.image] >= deltas
        self.pairs += 1

    def result(self) -> BoxAccuracies:
        """The accuracies of what was added."""
        pairs, thresholds = self.pairs, self.thresholds
        if not pairs:
            pairs, thresholds = np.nan, np.full_like(thresholds, np.nan)
        largest, best = 100 * self._largest / pairs, 100 * self._any / pairs
        return BoxAccuracies(
            max_box_acc=float(largest[HALF].max()),
            threshold=float(thresholds[largest[HALF].argmax()]),
            max_box_acc_v2=float(best.max(1).mean()),
            thresholds_v2=thresholds[best.argmax(1)],
            largest=largest,
            any=best,
            pairs=self.pairs,
        )
