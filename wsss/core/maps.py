"""From class maps to class ids: upsampling, and the argmax against a background score."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int, Integer, UInt8

SALIENT = ("salient",)  # the classes of maps and masks that know foreground and background only


def upsample(
    maps: Float[np.ndarray, "k h w"], size: tuple[int, int]
) -> Float32[np.ndarray, "k height width"]:
    """Bilinear resizing to `size` (height, width), half-pixel centres.

    Same numbers as torch's `interpolate(mode="bilinear", align_corners=False)`, without its import
    in every worker. K may be 0.
    """
    height, width = size
    k, h, w = maps.shape
    if k == 0:
        return np.zeros((0, height, width), np.float32)
    maps = maps.astype(np.float32, copy=False)
    return _resize(_resize(maps, 2, w, width), 1, h, height)


def _resize(
    maps: Float32[np.ndarray, "k h w"], axis: int, old: int, new: int
) -> Float32[np.ndarray, "k height width"]:
    if old == new:
        return maps
    # Output pixel i has its centre at (i + 1/2) old/new - 1/2 of the input; the border repeats.
    position = ((np.arange(new) + 0.5) * (old / new) - 0.5).clip(0, old - 1)
    low = position.astype(np.intp)
    high = np.minimum(low + 1, old - 1)
    weight = (position - low).astype(np.float32)
    if axis == 1:
        weight = weight[:, None]
    below = maps.take(low, axis)
    out = maps.take(high, axis)
    out -= below
    out *= weight
    out += below
    return out


def label_indices(maps: Float[np.ndarray, "k h w"], threshold: float) -> UInt8[np.ndarray, "h w"]:
    """Argmax over [threshold, maps...]: 0 is background, i is maps[i - 1].

    Ties go to the background, then to the lower index. `threshold` is the background's score, in
    the maps' units (usually [0, 1]). K may be 0, and is at most 254.
    """
    if len(maps) > 254:
        raise ValueError(f"{len(maps)} maps do not fit in the 254 indices of a mask")
    dtype = np.result_type(maps.dtype, np.float32)
    best = np.full(maps.shape[1:], threshold, dtype)
    indices = np.zeros(maps.shape[1:], np.uint8)
    for i, scores in enumerate(maps, start=1):
        indices[scores > best] = i
        np.maximum(best, scores, out=best)
    return indices


def labels_to_ids(
    indices: Integer[np.ndarray, "h w"], classes: Int[np.ndarray, " k"]
) -> UInt8[np.ndarray, "h w"]:
    """The class ids of `label_indices`: 0 stays 0, i becomes classes[i - 1]."""
    return np.concatenate([[0], classes]).astype(np.uint8)[indices]
