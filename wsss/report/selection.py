"""Which images a gallery shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8

from wsss.core.random import generator


def choose_images(
    ids: Sequence[str], labels: UInt8[np.ndarray, "n c"], count: int, seed: int
) -> list[str]:
    """`count` of the ids (or all of them), spread over the classes; the same for the same seed.

    labels: 1 where an image shows a class. The images are shuffled; then the class shown least so
    far takes its next image, in turn, so that rare classes appear too.
    """
    order = generator(seed, "gallery").permutation(len(ids))
    left = [int(i) for i in order]
    shown = np.zeros(labels.shape[1])
    chosen: list[int] = []
    while left and len(chosen) < count:
        available = labels[left].any(0)
        if available.any():
            wanted = int(np.argmin(np.where(available, shown, np.inf)))
            pick = next(i for i in left if labels[i, wanted])
        else:
            pick = left[0]
        left.remove(pick)
        chosen.append(pick)
        shown += labels[pick]
    return [ids[i] for i in chosen]


def image_miou(
    prediction: Integer[np.ndarray, "h w"], ground_truth: Integer[np.ndarray, "h w"]
) -> float:
    """Mean IoU over the classes in an image's ground truth or prediction; 255 is left out.

    NaN if every pixel of the ground truth is 255.
    """
    valid = ground_truth != 255
    truth, predicted = ground_truth[valid], prediction[valid]
    ious = []
    for c in np.union1d(truth, predicted):
        a, b = truth == c, predicted == c
        ious.append((a & b).sum() / (a | b).sum())
    return float(np.mean(ious)) if ious else float("nan")
