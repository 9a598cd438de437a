"""Class-specific erasing: masks from class maps (OC-CSE, P-OC, P-NOC)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from wsss.training.synchronised import maximum_over_ranks

EPSILON = 1e-5


def activation(
    maps: Float[Tensor, "b c h w"],
    classes: Int64[Tensor, " b"],
    present: Bool[Tensor, " b"],
    size: tuple[int, int],
    *,
    normalise: Literal["batch", "image"],
    order: Literal["relu-upsample", "upsample-relu"],
) -> Float[Tensor, "b 1 H W"]:
    """ψ(A_r) in [0, 1): the map of each image's class at `size`, divided by a maximum.

    The maximum plus 1e-5, over the batch (of all processes) or over each image; differentiable,
    also through it. Images that are not `present` have no class to erase: 0 everywhere, and no say
    in the maximum.
    """
    chosen = maps[torch.arange(len(maps), device=maps.device), classes][:, None].float()
    chosen = chosen * present[:, None, None, None]
    if order == "relu-upsample":
        chosen = F.interpolate(chosen.relu(), size, mode="bilinear", align_corners=False)
    else:
        chosen = F.interpolate(chosen, size, mode="bilinear", align_corners=False).relu()
    if normalise == "batch":
        top = maximum_over_ranks(chosen.amax())
    else:
        top = chosen.amax((1, 2, 3), keepdim=True)
    return chosen / (top + EPSILON)


def erase_softly(
    images: Float[Tensor, "b 3 H W"], activation: Float[Tensor, "b 1 H W"]
) -> Float[Tensor, "b 3 H W"]:
    """x ∘ (1 − ψ)."""
    return images * (1 - activation)


def erase_hard(
    images: Float[Tensor, "b 3 H W"],
    activation: Float[Tensor, "b 1 H W"],
    threshold: float | int,
) -> Float[Tensor, "b 3 H W"]:
    """x ∘ [ψ ≤ δ]; the mask carries no gradient."""
    return images.masked_fill(activation.detach() > threshold, 0.0)


def without(labels: Float[Tensor, "b c"], classes: Int64[Tensor, " b"]) -> Float[Tensor, "b c"]:
    """y∖{r}: the labels with each image's class r set to 0."""
    return labels.scatter(1, classes[:, None], 0.0)
