"""How a class's probability falls and rises as pixels go and come in the order of its map.

The causal metrics of RISE (Petsiuk, Das and Saenko 2018).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor
from torch.nn import functional as F

from wsss.explain.metrics.detections import Probabilities


def deletion(
    probabilities: Probabilities,
    images: Float[Tensor, "b 3 H W"],
    maps: Float[Tensor, "n H W"],
    images_of: Int[Tensor, " n"],
    classes_of: Int[Tensor, " n"],
    *,
    steps: int = 100,
    chunk: int = 64,
    baseline: Float[Tensor, "b 3 H W"] | None = None,
) -> Float64[np.ndarray, "n points"]:
    """p_c of the image after 0, 1, …, `steps` equal parts of its pixels were replaced; low is good.

    The highest pixels of the map go first; of equal ones those that come first in reading order, so
    maps with large flat parts are measured by the order of rows there. images: preprocessed.
    baseline: what replaces them; None: 0, the mean colour. chunk: images in a pass of the network;
    a pair costs steps + 1. RISE's step was 224 pixels of 224², i.e. 224 steps.

    Rows of several batches are concatenated; `area` of them, averaged, is the number of a split.
    Raises ValueError for steps below 1.
    """
    if baseline is None:
        baseline = torch.zeros_like(images)
    return _curves(
        probabilities, images, baseline, maps, images_of, classes_of, steps=steps, chunk=chunk
    )


def insertion(
    probabilities: Probabilities,
    images: Float[Tensor, "b 3 H W"],
    maps: Float[Tensor, "n H W"],
    images_of: Int[Tensor, " n"],
    classes_of: Int[Tensor, " n"],
    *,
    steps: int = 100,
    chunk: int = 64,
    baseline: Float[Tensor, "b 3 H W"] | None = None,
) -> Float64[np.ndarray, "n points"]:
    """p_c of the baseline after 0, 1, …, `steps` parts of the image came to it; high is good.

    baseline: what the image is inserted to; None: `rise_blur` images. The rest as `deletion`.
    """
    if baseline is None:
        baseline = rise_blur(images)
    return _curves(
        probabilities, baseline, images, maps, images_of, classes_of, steps=steps, chunk=chunk
    )


def rise_blur(images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
    """By the kernel of RISE's code: a point of 11 × 11 pixels under a Gaussian of σ = 5.

    The point's image is mirrored at the borders of these 11 pixels and so is nearly flat, 0.0088 in
    the middle and 0.0077 in a corner. Beyond the image's border there is 0, the mean colour.
    """
    t = np.arange(-20, 21)
    gaussian = np.exp(-(t**2) / (2 * 5**2))
    place = (5 + t) % 22
    mirrored = np.bincount(np.minimum(place, 21 - place), gaussian / gaussian.sum())
    kernel = torch.from_numpy(mirrored).to(images).expand(3, 1, -1)
    down = F.conv2d(images, kernel[..., None], padding=(5, 0), groups=3)
    return F.conv2d(down, kernel[:, :, None], padding=(0, 5), groups=3)


def area(curves: Float64[np.ndarray, "n points"]) -> Float64[np.ndarray, " n"]:
    """Area under each curve by trapezoids, its width scaled to 1, so in [0, 1]."""
    return (curves[:, 1:] + curves[:, :-1]).mean(1) / 2


@torch.no_grad()
def _curves(
    probabilities: Probabilities,
    start: Float[Tensor, "b 3 H W"],
    finish: Float[Tensor, "b 3 H W"],
    maps: Float[Tensor, "n H W"],
    images_of: Int[Tensor, " n"],
    classes_of: Int[Tensor, " n"],
    *,
    steps: int,
    chunk: int,
) -> Float64[np.ndarray, "n points"]:
    if steps < 1:
        raise ValueError(f"{steps} steps; give at least 1")
    images_of, classes_of = images_of.cpu(), classes_of.cpu()
    place = _places(maps.flatten(1)).view_as(maps)
    pixels = start.shape[-2] * start.shape[-1]
    changed = (torch.arange(steps + 1) * pixels // steps).to(maps.device)
    curves = np.zeros((len(maps), steps + 1))
    # Pairs and steps in one list, so that batches are full whatever the number of steps.
    for first in range(0, curves.size, chunk):
        index = torch.arange(first, min(first + chunk, curves.size))
        pair, step = index // (steps + 1), index % (steps + 1)
        gone = (place[pair] < changed[step][:, None, None])[:, None]
        of = images_of[pair]
        p = probabilities(torch.where(gone, finish[of], start[of])).cpu()
        curves.flat[first : first + chunk] = p.gather(1, classes_of[pair][:, None])[:, 0].double()
    return curves


def _places(values: Float[Tensor, "n p"]) -> Int64[Tensor, "n p"]:
    """Each value's place among its row's, from the highest."""
    return values.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
