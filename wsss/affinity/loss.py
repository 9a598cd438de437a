"""Loss of boundary networks: pairs of pixels of one class should have no boundary between them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from wsss.affinity.paths import Offset, directions, path, path_slices
from wsss.core.images import IGNORE
from wsss.training.synchronised import mean_over_ranks

EPSILON = 1e-5


def affinity_loss(
    boundary: Float[Tensor, "b h w"], labels: UInt8[Tensor, "b h w"], radius: int
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """½ [½ mean_{bg⁺}(−log a) + ½ mean_{fg⁺}(−log a) + mean_{neg}(−log(1 − a))] (IRN).

    boundary: probabilities in [0, 1] of a class boundary; labels: class ids on the same grid, 255
    uncertain. a = 1 − max of the boundary over the path of a pair, 1e-5 inside each logarithm. bg⁺
    are pairs of background, fg⁺ of one class, neg of two (background is one); uncertain pixels
    make no pair. Means run over the batch, Σ / (count + 1e-5). The first pixel of a pair lies where
    every direction stays inside: needs w > 2 radius − 2 and h > radius − 1.

    Returns the loss and the three means, detached. Its gradient is computed along the way, one
    direction after the other, so memory holds a few maps rather than all pairs.
    """
    loss, background, foreground, negative = _PairLoss.apply(boundary, labels, radius)
    return loss, {"bg": background, "fg": foreground, "neg": negative}


class _PairLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, boundary: Float[Tensor, "b h w"], labels: UInt8[Tensor, "b h w"], radius: int
    ) -> tuple[Float[Tensor, ""], ...]:
        h, w = boundary.shape[-2:]
        corner, size = (0, radius - 1), (h - radius + 1, w - 2 * radius + 2)
        pairs = directions(radius)
        kinds = torch.stack([_pair_kinds(labels, d, corner, size).flatten(1).sum(1) for d in pairs])
        count = mean_over_ranks(kinds.sum(0)) + EPSILON
        gradient = torch.zeros_like(boundary)
        at = torch.arange(boundary.numel(), device=boundary.device).view_as(boundary)
        at = at[:, : size[0], corner[1] : corner[1] + size[1]]
        means = boundary.new_zeros(3)
        for direction in pairs:
            background, foreground, negative = _pair_kinds(labels, direction, corner, size)
            blocked, where = torch.stack(path_slices(boundary, direction, corner, size)).max(0)
            near, far = 1 - blocked + EPSILON, blocked + EPSILON
            cost = -near.log()
            means[0] += (cost * background).sum() / count[0]
            means[1] += (cost * foreground).sum() / count[1]
            means[2] -= (far.log() * negative).sum() / count[2]
            slope = background / (4 * count[0]) + foreground / (4 * count[1])
            slope = slope / near - negative / (2 * count[2]) / far
            shifts = torch.tensor([y * w + x for y, x in path(direction)], device=at.device)
            gradient.view(-1).index_add_(0, (at + shifts[where]).flatten(), slope.flatten())
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(*(parts := means.unbind()))
        return (parts[0] / 4 + parts[1] / 4 + parts[2] / 2, *parts)

    @staticmethod
    def backward(ctx, loss: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return loss * gradient, None, None


def _pair_kinds(
    labels: UInt8[Tensor, "b h w"], direction: Offset, corner: Offset, size: tuple[int, int]
) -> Bool[Tensor, "3 b sh sw"]:
    """For the pairs of one direction: both background, both of one class, of two classes."""
    (top, left), (height, width), (dy, dx) = corner, size, direction
    first = labels[:, top : top + height, left : left + width]
    second = labels[:, top + dy : top + dy + height, left + dx : left + dx + width]
    sure = (first != IGNORE) & (second != IGNORE)
    equal = sure & (first == second)
    return torch.stack([equal & (first == 0), equal & (first > 0), sure & (first != second)])
