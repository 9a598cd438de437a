"""Which images a classifier trains on, and class weights, from the image-level labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, Integer

from wsss.classifier.data_recipe import DownSample, Repeat
from wsss.core.errors import UserError
from wsss.core.random import generator

Labels = Integer[np.ndarray, "n c"] | Bool[np.ndarray, "n c"]


def chosen_images(
    labels: Labels,
    balance: DownSample | Repeat | None,
    *,
    unlabelled: Literal["skip", "negative"],
    seed: int,
) -> Int64[np.ndarray, " m"]:
    """Sorted indices of the images to train on; `Repeat` gives some more than once.

    labels: 1 where the image has the class. unlabelled: images without any label are left out
    (skip) or stay, once each, as negatives of every class (negative). Frequencies and counts are of
    the images that remain after that. The choice depends on the labels and the seed alone.
    Raises UserError if no image is left.
    """
    present = labels.astype(bool)
    used = np.flatnonzero(present.any(1)) if unlabelled == "skip" else np.arange(len(present))
    if not used.size:
        raise UserError(
            f"none of the {len(present)} training images has a label; label some of them, or "
            "train on images that have labels"
        )
    match balance:
        case DownSample():
            return used[_is_kept(present[used], balance.ratio, seed)]
        case Repeat():
            return np.repeat(used, _repeats(present[used], balance.threshold, seed))
    return used


def inverse_frequency(labels: Labels) -> Float32[np.ndarray, " c"]:
    """w_c = n/(C n_c), of n images in C classes, n_c of them with class c; scaled to mean 1.

    Raises UserError for a class without an image.
    """
    counts = labels.astype(bool).sum(0)
    absent = np.flatnonzero(counts == 0)
    if absent.size:
        raise UserError(
            f"no training image of class {', '.join(map(str, absent))} (counted from 0), so it has "
            "no inverse frequency; add images of it or leave it out of the data set's classes"
        )
    weights = 1 / counts
    return (weights / weights.mean()).astype(np.float32)


def _is_kept(present: Bool[np.ndarray, "m c"], ratio: float, seed: int) -> Bool[np.ndarray, " m"]:
    """Which images remain of those whose classes all have more than ratio × the median.

    Classes without any image do not count for the median.
    """
    kept = np.ones(len(present), bool)
    counts = present.sum(0)
    if not counts.any():
        return kept
    cap = ratio * np.median(counts[counts > 0])
    surplus = np.flatnonzero(present.any(1) & ~present[:, counts <= cap].any(1))
    # Counts only fall: an image that may not go now may not go later either, so once is enough.
    for image in generator(seed, "down-sample").permutation(surplus):
        if (counts[present[image]] > cap).all():
            kept[image] = False
            counts -= present[image]
    return kept


def _repeats(
    present: Bool[np.ndarray, "m c"], threshold: float, seed: int
) -> Int64[np.ndarray, " m"]:
    """r_c = max(1, √(t/f_c)); an image's is the largest of its classes, rounded at random."""
    with np.errstate(divide="ignore"):  # a class without images has f = 0, and no image to repeat
        factors = np.maximum(1, np.sqrt(threshold / present.mean(0)))
    wanted = np.where(present, factors, 1.0).max(1)
    whole = np.floor(wanted)
    more = generator(seed, "repeat").random(len(wanted)) < wanted - whole
    return whole.astype(np.int64) + more
