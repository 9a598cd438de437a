"""What an image's part in a loss takes from all processes of a training: counts, draws, BatchNorm,
other images.
"""

from __future__ import annotations

from types import MethodType

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wsss.core.ranks import rank, ranks


def sum_over_ranks(values: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """The sum of all processes' values, without a gradient; of one process, the values."""
    if ranks() == 1:
        return values
    values = values.detach().clone()
    distributed.all_reduce(values)
    return values


def mean_over_ranks(values: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """The mean of all processes' values, without a gradient; of one process, the values.

    A loss Σ / count, with this for the count, has the global Σ / count as its mean over processes,
    and so the gradients that the whole batch has.
    """
    return values if ranks() == 1 else sum_over_ranks(values) / ranks()


def maximum_over_ranks(value: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The largest of all processes' values; its gradient is the sum of theirs, where it was."""
    return value if ranks() == 1 else _Maximum.apply(value)


def whole_batch(values: Shaped[Tensor, "b ..."]) -> Shaped[Tensor, "a ..."]:
    """The values of all processes' images in the batch's order; `own_share` is its inverse.

    A loss of them all, the same in every process, has the gradients that it has in one. Every
    process must have as many images.
    """
    return values if ranks() == 1 else _Whole.apply(values)


def own_share(values: Shaped[Tensor, "a ..."]) -> Shaped[Tensor, "b ..."]:
    """This process's part of what the images of a batch have, in the order of its images."""
    return values[rank() :: ranks()]


def of_first_rank(values: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """What the first process gives, for all: random numbers are its own in each."""
    if ranks() > 1:
        values = values.contiguous()
        distributed.broadcast(values, 0)
    return values


def seed_of_first_rank(device: torch.device) -> int:
    """A number that the first process draws, for all; device: where they exchange tensors."""
    seed = torch.randint(2**31, ())
    return int(seed) if ranks() == 1 else int(of_first_rank(seed.to(device)))


def synchronise_batch_norm(network: nn.Module) -> None:
    """Let every BatchNorm that trains take mean and variance of all processes' images.

    Modules stay what they are, so a network whose norms are folded into its convolutions while they
    are in `.eval()` (wsss.nn.folding) keeps that. Every process must have as many images, of one
    size.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward_alone = module.forward
            module.forward = MethodType(_forward, module)


def _forward(self: _BatchNorm, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:
    if not self.training:
        return self.forward_alone(x)
    y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)
    if self.track_running_stats:
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = self.momentum
            if share is None:
                share = 1 / float(self.num_batches_tracked)
            number = x.numel() // x.shape[1] * ranks()
            self.running_mean.lerp_(mean.to(self.running_mean), share)
            self.running_var.lerp_((variance * number / (number - 1)).to(self.running_var), share)
    for then in self.children():  # timm's norms with an activation: dropout, then it
        y = then(y)
    return y


class _Maximum(torch.autograd.Function):
    """max over processes; the slope goes to those that have it, in equal parts."""

    @staticmethod
    def forward(ctx, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        top = value.detach().clone()
        distributed.all_reduce(top, distributed.ReduceOp.MAX)
        here = (value == top).to(value)
        ctx.save_for_backward(here / sum_over_ranks(here))
        return top

    @staticmethod
    def backward(ctx, slope: Float[Tensor, ""]) -> Float[Tensor, ""]:
        (share,) = ctx.saved_tensors
        return sum_over_ranks(slope) * share


class _Whole(torch.autograd.Function):
    """All processes' values, image by image; the slopes of all come back."""

    @staticmethod
    def forward(ctx, values: Shaped[Tensor, "b ..."]) -> Shaped[Tensor, "a ..."]:
        values = values.contiguous()
        each = [torch.empty_like(values) for _ in range(ranks())]
        distributed.all_gather(each, values)
        return torch.stack(each, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx, slope: Float[Tensor, "a ..."]) -> Float[Tensor, "b ..."]:
        return own_share(sum_over_ranks(slope.contiguous()))


class _Normalise(torch.autograd.Function):
    """γ (x − μ) / √(σ² + ε) + β with μ and σ² over all processes, and both of them."""

    @staticmethod
    def forward(
        ctx,
        x: Float[Tensor, "b c *n"],
        weight: Float[Tensor, " c"] | None,
        bias: Float[Tensor, " c"] | None,
        epsilon: float,
    ) -> tuple[Float[Tensor, "b c *n"], Float[Tensor, " c"], Float[Tensor, " c"]]:
        wide = x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        own = torch.stack(torch.var_mean(wide, axes, correction=0))
        all_of_them = [torch.empty_like(own) for _ in range(ranks())]
        distributed.all_gather(all_of_them, own)
        variances, means = torch.stack(all_of_them, 1)
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        factor = torch.rsqrt(variance + epsilon)
        ctx.save_for_backward(x, weight, mean, factor)
        scale = factor if weight is None else factor * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        y = torch.addcmul(_wide(shift, x), wide, _wide(scale, x)).to(x.dtype)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(
        ctx, slope: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, factor = ctx.saved_tensors
        axes = [axis for axis in range(x.ndim) if axis != 1]
        wide = slope.float()
        normal = (x.float() - _wide(mean, x)) * _wide(factor, x)
        of_bias, of_weight = wide.sum(axes), (wide * normal).sum(axes)
        both = mean_over_ranks(torch.stack([of_bias, of_weight])) / (x.numel() // x.shape[1])
        scale = factor if weight is None else factor * weight
        inner = wide - _wide(both[0], x) - normal * _wide(both[1], x)
        of_x = (inner * _wide(scale, x)).to(x.dtype)
        if weight is None:  # nor is there a bias
            return of_x, None, None, None
        return of_x, of_weight, of_bias, None


def _wide(values: Float[Tensor, " c"], like: Tensor) -> Tensor:
    """One value per channel, in the shape of maps (b, c, …)."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
