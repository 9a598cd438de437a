"""Average precision of pixels: PxAP (Choe et al. 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Shaped, UInt8

from wsss.core.images import IGNORE
from wsss.explain.localization.boxes import check_scores


class PrecisionRecall(NamedTuple):
    """px_ap: in percent, NaN without a pixel of an object.

    precision, recall: fractions, of pixels with a score of at least each threshold; the thresholds
    fall from 1, for pixels of exactly 1, to 0. precision is NaN where no pixel is.
    """

    px_ap: float
    thresholds: Float64[np.ndarray, " t"]
    precision: Float64[np.ndarray, " t"]
    recall: Float64[np.ndarray, " t"]


class PixelAP:
    """Histograms of scores inside and outside of objects, pooled over all maps.

    step: the width of the bins [0, Δ), [Δ, 2Δ), …, [1 − Δ, 1), and one for 1.
    """

    def __init__(self, step: float = 0.001):
        thresholds = np.arange(0, 1, step)
        self._step = step
        self._edges = np.append(thresholds, [1.0, np.inf])
        self.inside = np.zeros(len(thresholds) + 1, np.int64)
        self.outside = np.zeros(len(thresholds) + 1, np.int64)

    def update(self, scores: Float[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"]) -> None:
        """Add the map of a class, in [0, 1], and its mask: 1 that class, 0 not, 255 ignored.

        The benchmark has one map per image; here each class of an image brings its own. Published
        numbers are at 224². Raises ValueError for other scores and other values of the mask.
        """
        check_scores(scores)
        inside, outside = split_by_truth(self._bins(scores), truth)
        self.inside += np.bincount(inside, minlength=len(self.inside))
        self.outside += np.bincount(outside, minlength=len(self.outside))

    def result(self) -> PrecisionRecall:
        """PxAP = 100 Σ_n precision_n (recall_n − recall_{n−1}) over thresholds, falling."""
        true, false = self.inside[::-1].cumsum(), self.outside[::-1].cumsum()
        precision = _ratio(true, true + false)
        recall = _ratio(true, np.broadcast_to(true[-1], true.shape))
        # Without a pixel above a threshold, recall is 0 there and adds nothing.
        px_ap = 100 * (np.nan_to_num(precision) * np.diff(recall, prepend=0)).sum()
        return PrecisionRecall(float(px_ap), self._edges[-2::-1], precision, recall)

    def _bins(self, scores: Float[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h w"]:
        values = scores.astype(np.float64)
        bins = (values / self._step).astype(np.int64).clip(max=len(self.inside) - 1)
        # The quotient may have been rounded over an edge.
        bins -= values < self._edges[bins]
        bins += values >= self._edges[bins + 1]
        return bins


def split_by_truth(
    values: Shaped[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"]
) -> tuple[Shaped[np.ndarray, " n"], Shaped[np.ndarray, " m"]]:
    """The values where the mask is 1, and where it is 0; ValueError if it is neither, nor 255."""
    inside, outside = truth == 1, truth == 0
    if not (inside | outside | (truth == IGNORE)).all():
        raise ValueError(f"the mask must be 0, 1 and {IGNORE} for ignored")
    return values[inside], values[outside]


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " t"]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
