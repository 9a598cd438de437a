"""Which pixels are pairs within a radius, and which pixels lie on the path between them (IRN)."""

from __future__ import annotations

from functools import cache

from jaxtyping import Float
from torch import Tensor

Offset = tuple[int, int]  # (dy, dx), grid units


@cache
def directions(radius: int) -> tuple[Offset, ...]:
    """Displacements from a pixel to its partners, one of each pair ±(dy, dx).

    (0, 1…radius − 1) and every (dy ≥ 1, dx) with dy² + dx² < radius²: 34 at radius 5, 152 at 10.
    """
    reach = range(-radius + 1, radius)
    below = [(y, x) for y in range(1, radius) for x in reach if y * y + x * x < radius * radius]
    return (*((0, x) for x in range(1, radius)), *below)


@cache
def path(direction: Offset) -> tuple[Offset, ...]:
    """Pixels between a pixel at (0, 0) and its partner at `direction`, both ends included.

    Of the pixels in their bounding rectangle, the path has those whose squared distance to the
    line through both is below 1 (Ahn et al., "Weakly Supervised Learning of Instance Segmentation
    with Inter-pixel Relations").
    """
    dy, dx = direction
    columns = range(dx + 1) if dx >= 0 else range(dx, 1)
    return tuple(
        (y, x) for y in range(dy + 1) for x in columns if (dy * x - dx * y) ** 2 < dy * dy + dx * dx
    )


def path_slices(
    boundary: Float[Tensor, "b h w"], direction: Offset, corner: Offset, size: tuple[int, int]
) -> list[Float[Tensor, "b sh sw"]]:
    """Views of `boundary`: for each path pixel, its value for all sources of a rectangle.

    corner: the first source (y, x); size: rows and columns of sources. Every path must lie inside.
    """
    (top, left), (height, width) = corner, size
    return [
        boundary[:, top + y : top + y + height, left + x : left + x + width]
        for y, x in path(direction)
    ]
