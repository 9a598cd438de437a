"""Measures of class-agnostic saliency maps, as salient object detection reports them.

Pixels without ground truth are left out of every sum; without such pixels the numbers agree with
the published definitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from wsss.core.files.store import MapReader
from wsss.core.images import IGNORE
from wsss.core.maps import upsample
from wsss.evaluation.agnostic import AgnosticMasks

LEVELS = 256
BETA_SQUARED = 0.3
_TINY = np.finfo(np.float64).eps


class SaliencyCounts(NamedTuple):
    """What one image adds: precision and recall at ≥ 0/255, 1/255, …, MAE and S-measure."""

    precision: Float64[np.ndarray, " levels"]
    recall: Float64[np.ndarray, " levels"]
    mae: float
    s_measure: float


def measure(
    saliency: Float32[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"]
) -> SaliencyCounts:
    """Of one image: saliency in [0, 1] against 0 (background), 1 (salient), 255 (ignored)."""
    counts, salient = truth != IGNORE, truth == 1
    values, target = saliency[counts].astype(np.float64), salient[counts]
    precision, recall = _precision_recall(values, target)
    mae = float(np.abs(values - target).mean()) if len(values) else float("nan")
    return SaliencyCounts(precision, recall, mae, s_measure(saliency, salient, counts))


@dataclass
class Measure:
    """What a worker does for an image id: the measures of salient object detection."""

    maps: MapReader
    masks: AgnosticMasks

    def __call__(self, image_id: str) -> SaliencyCounts:
        """The image's part of the measures; 0 everywhere for an image without maps."""
        record, truth = self.maps[image_id], self.masks[image_id]
        saliency = np.zeros(truth.shape, np.float32)
        if len(record.classes):
            saliency = upsample(record.maps, record.size)[0]
        return measure(saliency, truth)


def summary(images: list[SaliencyCounts]) -> dict[str, float]:
    """mae, s_measure: means over images. f_beta: the highest over thresholds, β² = 0.3.

    Precision and recall are averaged over images first (Achanta et al. 2009). Images without any
    ground truth are left out; at least one must have some.
    """
    images = [image for image in images if not np.isnan(image.mae)]
    precision = np.mean([image.precision for image in images], 0)
    recall = np.mean([image.recall for image in images], 0)
    below = BETA_SQUARED * precision + recall
    f = (1 + BETA_SQUARED) * precision * recall / np.where(below == 0, 1, below)
    return {
        "mae": float(np.mean([image.mae for image in images])),
        "f_beta": float(f.max()),
        "s_measure": float(np.mean([image.s_measure for image in images])),
    }


def _precision_recall(
    values: Float64[np.ndarray, " n"], target: Bool[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " levels"], Float64[np.ndarray, " levels"]]:
    # 0.1: k/255 as float16 may lie a little below, and is level k all the same.
    steps = (values * (LEVELS - 1) + 0.1).astype(np.int64)
    inside = np.bincount(steps[target], minlength=LEVELS)[::-1].cumsum()[::-1]
    found = np.bincount(steps, minlength=LEVELS)[::-1].cumsum()[::-1]
    return inside / np.maximum(found, 1), inside / max(int(target.sum()), 1)


def s_measure(
    saliency: Float[np.ndarray, "h w"],
    salient: Bool[np.ndarray, "h w"],
    counts: Bool[np.ndarray, "h w"],
) -> float:
    """Structure measure (Fan et al. 2017): ½ of the object's part, ½ of the regions'; in [0, 1].

    counts: where there is ground truth. NaN if nowhere.
    """
    values, target = saliency[counts].astype(np.float64), salient[counts]
    share = target.mean() if len(target) else float("nan")
    if not 0 < share < 1:
        return float(values.mean() if share == 1 else 1 - values.mean()) if len(target) else share
    objects = share * _object(values[target]) + (1 - share) * _object(1 - values[~target])
    return max(0.0, float(0.5 * objects + 0.5 * _regions(saliency, salient, counts)))


def _object(values: Float64[np.ndarray, " n"]) -> float:
    """High and even values make a good object."""
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    mean = values.mean()
    return 2 * mean / (mean**2 + 1 + spread + _TINY)


def _regions(saliency: np.ndarray, salient: np.ndarray, counts: np.ndarray) -> float:
    """Structural similarity of the four quarters around the object's centre, by their size."""
    y, x = (round(float(place.mean())) + 1 for place in np.nonzero(salient))
    total, similarity = counts.sum(), 0.0
    for rows in (slice(None, y), slice(y, None)):
        for columns in (slice(None, x), slice(x, None)):
            valid = counts[rows, columns]
            if valid.any():
                p = saliency[rows, columns][valid].astype(np.float64)
                g = salient[rows, columns][valid].astype(np.float64)
                similarity += len(p) / total * _similarity(p, g)
    return similarity


def _similarity(p: Float64[np.ndarray, " n"], g: Float64[np.ndarray, " n"]) -> float:
    x, y, n = p.mean(), g.mean(), max(len(p) - 1, 1)
    both = ((p - x) * (g - y)).sum() / n
    spread = ((p - x) ** 2).sum() / n + ((g - y) ** 2).sum() / n
    above, below = 4 * x * y * both, (x**2 + y**2) * spread
    if above != 0:
        return above / (below + _TINY)
    return 1.0 if below == 0 else 0.0
