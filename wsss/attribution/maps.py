"""What explaining methods return, and what is done with it: ψ and resizing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from wsss.attribution.classifier import Seen


class Maps(NamedTuple):
    """Raw maps of (image, class) pairs, ordered by image, then by class.

    maps: signed, at the resolution the method gives; images, classes: indices from 0, of the
    batch and of the logits; logits: of the images as they were given.
    """

    maps: Float[Tensor, "n h w"]
    images: Int[Tensor, " n"]
    classes: Int[Tensor, " n"]
    logits: Float[Tensor, "b c"]

    def dense(self) -> Float[Tensor, "b c h w"]:
        """One map for every class of every image; 0 where none was asked for."""
        out = self.maps.new_zeros(*self.logits.shape, *self.maps.shape[1:])
        out[self.images, self.classes] = self.maps
        return out


def weighted_sum(seen: Seen, chosen: Bool[Tensor, "b c"], weights: Float[Tensor, "n k"]) -> Maps:
    """Σ_k w_k A_k of each chosen pair, with its row of weights; float32 at least, no autocast."""
    images, classes = chosen.nonzero(as_tuple=True)
    dtype = torch.promote_types(seen.activations.dtype, torch.float32)
    activations = seen.activations.detach().to(dtype).flatten(2)
    rows = weights.detach().to(dtype).split(chosen.sum(1).tolist())
    # Image by image: no copy of its activations for each of its classes.
    with torch.autocast(activations.device.type, enabled=False):
        maps = torch.cat([w @ a for w, a in zip(rows, activations, strict=True)])
    return Maps(
        maps.unflatten(1, seen.activations.shape[2:]), images, classes, seen.logits.detach()
    )


def rescale(maps: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Each map to [0, 1]: (m − min) / (max − min), 0 for a constant one; in float32 at least.

    A map with a NaN is NaN everywhere, which nothing takes for a map.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    maps = maps - maps.amin((-2, -1), keepdim=True)
    highest = maps.amax((-2, -1), keepdim=True)
    return torch.where(highest == 0, 0, maps / highest.clamp(min=torch.finfo(maps.dtype).tiny))


def psi(maps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """ReLU, then each map scaled to [0, 1] by `rescale`.

    At the maps' own resolution; resizing comes after, and may lower the maximum (the order of
    MinMax-CAM's authors; grad-cam scales after resizing too).
    """
    return rescale(maps.clamp(min=0))


def resize(maps: Float[Tensor, "n h w"], size: tuple[int, int]) -> Float[Tensor, "n H W"]:
    """Bilinear, half-pixel centres, no antialiasing; `size` is (height, width)."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
