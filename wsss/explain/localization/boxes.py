"""Boxes around what a score map shows above a threshold, and how much boxes overlap.

As in the evaluation of weakly supervised object localization of Choe et al. (2020). A box is
(x0, y0, x1, y1) in pixels, both corners inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, UInt8

from wsss.core.threshold import threshold_reference


class Boxes(NamedTuple):
    """Boxes of a map at T thresholds, which make K ≤ 256 different binary images.

    boxes: of all contours of the first binary image, then of the second, …, at least one each;
    starts: where each one's begin; largest: which box is of its largest contour; image: the binary
    image of each threshold. Several percentiles give the binary images of all.
    """

    boxes: Int64[np.ndarray, "n 4"]
    starts: Int64[np.ndarray, " k"]
    largest: Int64[np.ndarray, " k"]
    image: Int64[np.ndarray, " t"]

    def at(self, threshold: int) -> Int64[np.ndarray, "m 4"]:
        """All boxes at a threshold, given by its index."""
        return np.split(self.boxes, self.starts[1:])[self.image[threshold]]

    def of_largest(self) -> Int64[np.ndarray, "t 4"]:
        """The box of the largest contour at each threshold."""
        return self.boxes[self.largest[self.image]]


def find_boxes(
    scores: Float[np.ndarray, "h w"],
    thresholds: Float[np.ndarray, " t"],
    *,
    percentile: float | int = 100,
) -> Boxes:
    """Boxes around the contours of ⌊255 S⌋ > ⌊τ · top⌋, for each threshold τ in [0, 1].

    percentile: top is this percentile, interpolated, of ⌊255 S⌋: 100 is its maximum (MaS), lower
    ones are PaS (Bae, Noh and Kim 2020), which used 90 with τ = 0.35.

    A contour's box is (x, y, min(x + w, W − 1), min(y + h, H − 1)), a pixel wider and higher than
    the contour inside the image, as published numbers are. Holes have contours as well. The
    largest contour has the largest polygon through its pixels' centres. Without any contour
    the box is (0, 0, 0, 0).

    Thresholds between the same two levels share a binary image, so contours are found 256 times at
    most: 10 to 50 ms for a map of 224², and no more for 1000 thresholds than for 256.

    Raises ValueError for scores outside [0, 1].
    """
    return boxes_of_each(scores, thresholds, (percentile,))[0]


def boxes_of_each(
    scores: Float[np.ndarray, "h w"],
    thresholds: Float[np.ndarray, " t"],
    percentiles: Sequence[float | int],
) -> list[Boxes]:
    """`find_boxes` of each percentile; what they have in common is found once."""
    u8 = to_levels(scores)
    tops = threshold_reference(u8, percentiles)
    above = np.floor(np.outer(tops, np.asarray(thresholds, np.float64))).astype(int)
    occurring = np.unique(u8)
    # Equal where as many of the occurring levels are not above the threshold.
    _, first, image = np.unique(
        np.searchsorted(occurring, above.ravel(), side="right"),
        return_index=True,
        return_inverse=True,
    )
    boxes, starts, largest = [], [], []
    for threshold in above.ravel()[first].tolist():
        sides, areas = _contours(u8 > threshold)
        starts.append(len(boxes))
        largest.append(len(boxes) + int(np.argmax(areas)))
        boxes += sides
    found = Boxes(
        np.array(boxes, np.int64).reshape(-1, 4),
        np.array(starts, np.int64),
        np.array(largest, np.int64),
        image.astype(np.int64),
    )
    return [found._replace(image=each) for each in found.image.reshape(above.shape)]


def iou(a: Int[np.ndarray, "n 4"], b: Int[np.ndarray, "m 4"]) -> Float64[np.ndarray, "n m"]:
    """Intersection over union of all pairs, in pixels: a box has (x1 − x0 + 1)(y1 − y0 + 1)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low + 1).clip(min=0).prod(2)
    return both / (_area(a)[:, None] + _area(b)[None] - both)


def score_map(raw: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """A map at `size` (height, width), bicubic, then scaled to [0, 1]; a constant one is 0.

    Raises ValueError for NaN and infinite values.
    """
    if not np.isfinite(raw).all():
        raise ValueError("the map holds NaN or infinite values")
    resized = cv2.resize(raw.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    resized -= resized.min()
    highest = resized.max()
    return resized / highest if highest > 0 else resized


def share_of_reference(
    scores: Float[np.ndarray, "h w"], percentile: float | int
) -> Float[np.ndarray, "h w"]:
    """min(S / top, 1), top the percentile of the scores S: what exceeds a share of it (PaS).

    Where top is 0 whatever exceeds 0 is 1. A map of maximum 1 stays as it is with 100.
    """
    top = threshold_reference(scores, (percentile,))[0].astype(scores.dtype)
    return (scores / top).clip(max=1) if top > 0 else (scores > 0).astype(scores.dtype)


def to_levels(scores: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """⌊255 S⌋ of scores S in [0, 1]; ValueError for others."""
    check_scores(scores)
    return (scores * 255).astype(np.uint8)


def check_scores(scores: Float[np.ndarray, "h w"]) -> None:
    """ValueError unless every score is in [0, 1]; NaN is not."""
    if not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("scores must be in [0, 1], without NaN; apply psi or score_map first")


def resize_boxes(
    boxes: Int[np.ndarray, "n 4"], size: tuple[int, int], new_size: tuple[int, int]
) -> Int64[np.ndarray, "n 4"]:
    """Boxes of an image of `size` at `new_size` (height, width each), rounded down."""
    new = np.array(new_size[::-1] * 2, np.float64)
    return (boxes * new / np.array(size[::-1] * 2)).astype(np.int64)


def box_mask(boxes: Int[np.ndarray, "n 4"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """True inside any of the boxes, on a mask of `size` (height, width)."""
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes.tolist():
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def _contours(binary: Bool[np.ndarray, "h w"]) -> tuple[list[tuple[int, int, int, int]], list]:
    """The contours' boxes and areas; (0, 0, 0, 0) where there is none."""
    height, width = binary.shape
    contours, _ = cv2.findContours(binary.view(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return [(0, 0, 0, 0)], [0.0]
    boxes = []
    for x, y, w, h in map(cv2.boundingRect, contours):
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return boxes, [cv2.contourArea(contour) for contour in contours]


def _area(boxes: Int[np.ndarray, "n 4"]) -> Int[np.ndarray, " n"]:
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
