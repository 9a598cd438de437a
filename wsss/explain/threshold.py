"""Thresholds of maps: a share of the maximum (MaS) or of a percentile (PaS, Bae et al. 2020)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def maximum_threshold(
    maps: Float[Tensor, "n h w"], share: float | int = 0.2
) -> Float[Tensor, " n"]:
    """MaS: share · maximum of each map, in the map's units; float32 at least."""
    return share * _exact(maps).amax((1, 2))


def percentile_threshold(
    maps: Float[Tensor, "n h w"], share: float | int = 0.35, percentile: float | int = 90
) -> Float[Tensor, " n"]:
    """PaS: share · that percentile of all positions of each map, of NumPy's linear kind.

    percentile: in [0, 100]; 100 is MaS. Give maps at the resolution that they are cut at.
    """
    ordered = _exact(maps).flatten(1).sort(1).values
    place = percentile / 100 * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return share * ordered[:, below].lerp(ordered[:, above], place - below)


def _exact(maps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    return maps.to(torch.promote_types(maps.dtype, torch.float32))
