"""Class-specific erasing: masks from class maps (OC-CSE, P-OC, P-NOC)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5


def activation(
    maps: Float[Tensor, "b c h w"],
    classes: Int64[Tensor, " b"],
    size: tuple[int, int],
    *,
    normalise: Literal["batch", "image"],
    order: Literal["relu-upsample", "upsample-relu"] = "relu-upsample",
) -> Float[Tensor, "b 1 H W"]:
    """ψ(A_r) in [0, 1): the map of each image's class at `size`, divided by a maximum.

    The maximum plus 1e-5, over the batch or over each image; differentiable, also through it.
    """
    chosen = maps[torch.arange(len(maps), device=maps.device), classes][:, None].float()
    if order == "relu-upsample":
        chosen = chosen.relu()
    chosen = F.interpolate(chosen, size, mode="bilinear", align_corners=False).relu()
    top = chosen.amax() if normalise == "batch" else chosen.amax((1, 2, 3), keepdim=True)
    return chosen / (top + EPSILON)


def erase_softly(
    images: Float[Tensor, "b 3 H W"],
    activation: Float[Tensor, "b 1 H W"],
    present: Bool[Tensor, " b"],
) -> Float[Tensor, "b 3 H W"]:
    """x ∘ (1 − ψ); images that are not `present` have nothing to erase and stay whole."""
    return images * (1 - activation * present[:, None, None, None])


def erase_hard(
    images: Float[Tensor, "b 3 H W"],
    activation: Float[Tensor, "b 1 H W"],
    present: Bool[Tensor, " b"],
    threshold: float | int,
) -> Float[Tensor, "b 3 H W"]:
    """x ∘ [ψ ≤ δ]; the mask carries no gradient."""
    erased = (activation.detach() > threshold) & present[:, None, None, None]
    return images.masked_fill(erased, 0.0)


def without(labels: Float[Tensor, "b c"], classes: Int64[Tensor, " b"]) -> Float[Tensor, "b c"]:
    """y∖{r}: the labels with each image's class r set to 0."""
    return labels.scatter(1, classes[:, None], 0.0)
