"""IoU of a map and a mask at every threshold, and where it peaks.

The IoU curve of Zhang et al. (2020, self-enhancement maps), by which track 3 of the LID 2020
challenge ranked. Whether that pools pixels or averages images is not published: both are here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, UInt8

from wsss.explain.localization.boxes import to_levels
from wsss.explain.localization.pixel_ap import split_by_truth

LEVELS = 256


class IouCurve(NamedTuple):
    """iou: in percent, of pixels with ⌊255 S⌋ ≥ 0, 1, …, 255; NaN without pairs.

    peak: the highest; threshold: its level / 255, the lowest of several.
    """

    iou: Float64[np.ndarray, " levels"]
    peak: float
    threshold: float


class IouCurves(NamedTuple):
    """pooled: intersections and unions summed over all pairs; mean: each pair's IoU averaged."""

    pooled: IouCurve
    mean: IouCurve
    pairs: int


class PeakIou:
    """Intersections and unions of maps and masks at every level of 8 bits."""

    def __init__(self) -> None:
        self.pairs = 0
        self._both = np.zeros(LEVELS, np.int64)
        self._union = np.zeros(LEVELS, np.int64)
        self._ious = np.zeros(LEVELS)

    def update(self, scores: Float[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"]) -> None:
        """Add the map of a class, in [0, 1], and its mask: 1 that class, 0 not, 255 ignored.

        At level 0 everything is foreground: the IoU of a map that knows nothing. Without a pixel of
        the class the pair does not count. Raises ValueError for other scores and other values of
        the mask.
        """
        inside, outside = split_by_truth(to_levels(scores), truth)
        if not len(inside):
            return
        both, union = _reaching(inside), len(inside) + _reaching(outside)
        self._both += both
        self._union += union
        self._ious += both / union
        self.pairs += 1

    def result(self) -> IouCurves:
        """The curves of what was added."""
        if not self.pairs:
            nothing = _curve(np.full(LEVELS, np.nan))
            return IouCurves(nothing, nothing, 0)
        pooled, mean = self._both / self._union, self._ious / self.pairs
        return IouCurves(_curve(100 * pooled), _curve(100 * mean), self.pairs)


def _reaching(values: UInt8[np.ndarray, " n"]) -> np.ndarray:
    return np.bincount(values, minlength=LEVELS)[::-1].cumsum()[::-1]


def _curve(iou: Float64[np.ndarray, " levels"]) -> IouCurve:
    peak = int(iou.argmax())
    threshold = float("nan") if np.isnan(iou[peak]) else peak / (LEVELS - 1)
    return IouCurve(iou, float(iou[peak]), threshold)
