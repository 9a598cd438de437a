"""The confusion matrices of maps at every background threshold, in one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, UInt8

from wsss.core.errors import UserError
from wsss.core.images import IGNORE
from wsss.core.maps import upsample
from wsss.evaluation.confusion import check_classes
from wsss.evaluation.measures import Metrics, metrics


@dataclass(frozen=True)
class Curve:
    """confusion[i] at thresholds[i]: rows are the ground truth, columns the prediction."""

    thresholds: Float64[np.ndarray, " t"]
    confusion: Int64[np.ndarray, "t c c"]

    def best(self) -> tuple[float, Metrics]:
        """The threshold of the highest mIoU (the lowest of several) and the metrics there."""
        every = [metrics(confusion) for confusion in self.confusion]
        i = int(np.argmax([-1.0 if np.isnan(m.miou) else m.miou for m in every]))
        return float(self.thresholds[i]), every[i]

    def at(self, threshold: float) -> Metrics:
        """The metrics at one of the curve's thresholds; ValueError for any other."""
        found = np.flatnonzero(self.thresholds == threshold)
        if not found.size:
            raise ValueError(f"{threshold} is none of the curve's thresholds")
        return metrics(self.confusion[found[0]])


class Sweep:
    """Counts pixels by (ground truth, winning class, number of thresholds below its map's value).

    A pixel is background at every threshold its highest map m does not exceed (ties go to the
    background) and of the class of that map (the first of several) at every lower one. So these
    counts, made once, cumulate to the confusion matrix at each threshold.

    thresholds: (T,) strictly increasing in [0, 1], compared in the precision of the maps as
    `wsss.core.maps.label_indices` does. num_classes counts the background.
    """

    def __init__(
        self,
        thresholds: Sequence[float | int] | np.ndarray,
        num_classes: int,
        ignore_index: int = IGNORE,
    ):
        self.thresholds = np.asarray(thresholds, np.float64)
        if self.thresholds.ndim != 1 or not self.thresholds.size:
            raise UserError("no thresholds; give at least one")
        gap = np.diff(self.thresholds).min(initial=1.0)
        if not (self.thresholds[0] >= 0 and self.thresholds[-1] <= 1 and gap > 1e-6):
            raise UserError("thresholds must increase, by more than 1e-6, within [0, 1]")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        # One more than T bins, since a value may exceed none or all of the thresholds.
        self.counts = np.zeros((num_classes, num_classes, len(self.thresholds) + 1), np.int64)
        # Cells of [0, 1] so narrow that each holds one threshold at most: the number of thresholds
        # below a cell is looked up, then one comparison settles the pixel (7 times a bisection).
        self._cells = 1 << int(np.ceil(np.log2(1 / gap)) + 1)
        self._tables: dict[np.dtype, tuple[np.ndarray, np.ndarray]] = {}

    def count(
        self,
        maps: Float[np.ndarray, "k h w"],
        classes: Int[np.ndarray, " ids"],
        ground_truth: UInt8[np.ndarray, "height width"],
    ) -> Int64[np.ndarray, "c columns bins"]:
        """Pixels of one image by ground-truth class, map, and number of thresholds exceeded.

        Maps of another size than the mask are upsampled bilinearly. classes: the distinct class ids
        (1-based) of the maps. K may be 0: then one column counts the whole image as background.
        Raises UserError for classes or ground truth outside num_classes, and for NaN.
        """
        if len(classes) != len(maps):
            raise UserError(f"{len(maps)} maps of {len(classes)} classes")
        if len(set(classes.tolist())) != len(classes) or (classes < 1).any():
            raise UserError(f"map classes {classes.tolist()} must be distinct and at least 1")
        check_classes(classes, self.num_classes, "maps file")
        if not np.isfinite(maps).all():
            raise UserError("the maps hold NaN or infinite values; make them again")
        if maps.shape[1:] != ground_truth.shape or maps.dtype == np.float16:
            maps = upsample(maps, ground_truth.shape)
        bins = len(self.thresholds) + 1
        k = max(1, len(maps))
        rows = self._rows(ground_truth, k * bins)
        if len(maps):
            highest = maps.max(0)
            winner = np.zeros(highest.shape, np.int64)
            for i in reversed(range(len(maps))):
                np.copyto(winner, i * bins, where=maps[i] == highest)
            rows += winner
            rows += self._bins(highest)
        counts = np.bincount(rows.reshape(-1), minlength=(self.num_classes + 1) * k * bins)
        return counts.reshape(self.num_classes + 1, k, bins)[: self.num_classes]

    def add(
        self, classes: Int[np.ndarray, " k"], counts: Int64[np.ndarray, "c columns bins"]
    ) -> None:
        """Add an image's counts to the sum."""
        self.counts[:, classes if len(classes) else [0]] += counts

    def curve(self) -> Curve:
        """What was counted, as one confusion matrix a threshold."""
        # Above threshold i are the pixels that exceed more than i thresholds.
        above = self.counts[:, :, ::-1].cumsum(2)[:, :, ::-1][:, :, 1:]
        confusion = above.transpose(2, 0, 1).copy()
        confusion[:, :, 0] += self.counts.sum((1, 2)) - confusion.sum(2)
        return Curve(self.thresholds, confusion)

    def _rows(self, truth: UInt8[np.ndarray, "h w"], width: int) -> Int64[np.ndarray, "h w"]:
        table = np.arange(256)
        table[self.num_classes :] = -1
        if 0 <= self.ignore_index < 256:
            table[self.ignore_index] = self.num_classes  # a row of its own, dropped at the end
        rows = (table * width)[truth]
        if rows.min(initial=0) < 0:
            check_classes(truth[truth != self.ignore_index], self.num_classes, "ground truth")
        return rows

    def _bins(self, values: Float[np.ndarray, "h w"]) -> Int64[np.ndarray, "h w"]:
        if values.dtype not in self._tables:
            limits = self.thresholds.astype(values.dtype)
            edges = np.arange(self._cells + 1) / self._cells
            table = np.searchsorted(limits, edges.astype(values.dtype))
            self._tables[values.dtype] = table, np.append(limits, np.inf).astype(values.dtype)
        table, limits = self._tables[values.dtype]
        cell = (values.clip(0, 1) * values.dtype.type(self._cells)).astype(np.int32)
        bins = table[cell]
        bins += values > limits[bins]
        return bins


def threshold_curve(
    images: Iterable[tuple[Any, Any, Any]],
    thresholds: Sequence[float | int] | np.ndarray,
    num_classes: int,
    *,
    ignore_index: int = IGNORE,
) -> Curve:
    """The confusion matrix at every background threshold, in one pass.

    images: (maps, classes, ground_truth) of each image: maps (K, h, w) in [0, 1] of the classes
    (K,), 1-based ids, and the mask (H, W): floats, integers and integers, as NumPy arrays, tensors
    on the CPU, or nested lists. The prediction at threshold t is the argmax over
    [t, maps…], ties to the background, then to the first map. thresholds: strictly increasing in
    [0, 1]. num_classes counts the background (21 for VOC). Maps of another size are upsampled.

    Raises UserError for thresholds, classes or masks outside these ranges, and other arrays.

    Example:
        curve = threshold_curve(images, [0.1, 0.2, 0.3], num_classes=21)
        threshold, found = curve.best()
    """
    sweep = Sweep(thresholds, num_classes, ignore_index)
    for maps, classes, ground_truth in images:
        maps = _array(maps, "maps", "f", 3)
        classes = _array(classes, "classes", "iu", 1)
        truth = _array(ground_truth, "ground truth", "iu", 2)
        # Said before the counting, where an 8-bit mask would wrap -1 to 255.
        if truth.size and (truth.min() < 0 or truth.max() > 255):
            wrong = truth[(truth < 0) | (truth > 255)][0]
            raise UserError(f"the ground truth holds {wrong}; give class ids, and 255 for ignored")
        sweep.add(classes, sweep.count(maps, classes, truth.astype(np.uint8, copy=False)))
    return sweep.curve()


def _array(given: Any, what: str, kinds: str, ndim: int) -> np.ndarray:
    needed = f"{'floats' if kinds == 'f' else 'integers'} of {ndim} dimension{'s'[: ndim - 1]}"
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        line = str(error).partition("\n")[0]
        raise UserError(f"the {what} are not an array on the CPU ({line}); give {needed}") from None
    if array.ndim == ndim and not array.size and isinstance(given, list | tuple):
        array = array.astype(np.float64 if kinds == "f" else np.int64)  # a list of nothing
    if array.dtype.kind not in kinds or array.ndim != ndim:
        raise UserError(f"the {what} are {array.dtype} of shape {array.shape}; give {needed}")
    return array
