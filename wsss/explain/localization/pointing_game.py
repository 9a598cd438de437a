"""Whether a map's highest pixel lies on its class: the pointing game (Zhang et al. 2016)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64


class Pointing(NamedTuple):
    """In percent. accuracy: of each class, NaN for one without pairs; mean: over the others.

    pooled: over all pairs. pairs: how many there were.
    """

    accuracy: Float64[np.ndarray, " c"]
    mean: float
    pooled: float
    pairs: int


class PointingGame:
    """Counts hits: the map's highest pixel is at most `tolerance` pixels from the ground truth.

    Distances are Euclidean, between pixel centres; 0 asks for a pixel of the ground truth itself.
    Published numbers are with 15 pixels, some counting only those nearer than that. The numbers are
    in pixels of the maps as they are given: compare only maps of one size.
    """

    def __init__(self, classes: int, tolerance: int = 15):
        self.hits = np.zeros(classes, np.int64)
        self.pairs = np.zeros(classes, np.int64)
        self._tolerance = tolerance
        reach = np.arange(-tolerance, tolerance + 1)
        self._near = reach[:, None] ** 2 + reach**2 <= tolerance**2

    def update(
        self,
        scores: Float[np.ndarray, "h w"],
        index: int,
        truth: Bool[np.ndarray, "h w"],
    ) -> None:
        """Add the map of a class, an index from 0, and the pixels of that class.

        For ground truth in boxes see `wsss.explain.localization.boxes.filled`.
        The first of several highest pixels points. A constant map points nowhere and is a miss.
        Without any pixel of the class the pair does not count. Raises ValueError for NaN.
        """
        if np.isnan(scores).any():
            raise ValueError("the map holds NaN")
        if not truth.any():
            return
        self.pairs[index] += 1
        if scores.min() < scores.max():
            y, x = np.unravel_index(scores.argmax(), scores.shape)
            self.hits[index] += self._hit(truth, int(y), int(x))

    def result(self) -> Pointing:
        """The accuracies of what was added; NaN where there was nothing."""
        counted = self.pairs > 0
        accuracy = np.full(len(self.hits), np.nan)
        accuracy[counted] = 100 * self.hits[counted] / self.pairs[counted]
        if not counted.any():
            return Pointing(accuracy, float("nan"), float("nan"), 0)
        pairs = int(self.pairs.sum())
        mean = float(accuracy[counted].mean())
        return Pointing(accuracy, mean, float(100 * self.hits.sum() / pairs), pairs)

    def _hit(self, truth: Bool[np.ndarray, "h w"], y: int, x: int) -> bool:
        t = self._tolerance
        top, left = max(y - t, 0), max(x - t, 0)
        window = truth[top : y + t + 1, left : x + t + 1]
        height, width = window.shape
        near = self._near[top - y + t :, left - x + t :][:height, :width]
        return bool((window & near).any())
