"""Tiles of an image and what their merged class maps should equal (Puzzle-CAM, Jo & Yu 2021)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from wsss.nn.cam_network import CamNetwork
from wsss.nn.head import ClassMaps


def tile(images: Float[Tensor, "b k H W"], side: int) -> Float[Tensor, "sb k h w"]:
    """Cut images into side × side tiles, row by row, one after the other on the batch axis.

    Raises ValueError if a side length is not a multiple of `side`.
    """
    height, width = images.shape[-2:]
    if height % side or width % side:
        raise ValueError(f"{height}x{width} cannot be cut into {side}x{side} equal tiles")
    h, w = height // side, width // side
    parts = images.unfold(2, h, h).unfold(3, w, w)  # b k side side h w
    return parts.permute(2, 3, 0, 1, 4, 5).flatten(0, 2)


def merge(tiles: Float[Tensor, "sb k h w"], side: int) -> Float[Tensor, "b k H W"]:
    """The inverse of `tile`."""
    parts = tiles.unflatten(0, (side, side, -1))  # side side b k h w
    return parts.permute(2, 3, 0, 4, 1, 5).flatten(4, 5).flatten(2, 3)


def tiled_maps(network: CamNetwork, images: Float[Tensor, "b 3 H W"], side: int) -> ClassMaps:
    """A_re and its logits: features of the tiles, merged, then through the head."""
    return network.head(merge(network.features(tile(images, side)), side))


def re_merge_loss(
    maps: Float[Tensor, "b c h w"], merged: Float[Tensor, "b c h w"], labels: Float[Tensor, "b c"]
) -> Float[Tensor, ""]:
    """L_re: mean over all entries of |A − A_re| · y; both sides receive gradients."""
    return ((maps.float() - merged.float()).abs() * labels[:, :, None, None]).mean()
