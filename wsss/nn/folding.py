"""Convolutions that take over the BatchNorm after them while it uses running statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import MethodType

import torch
from jaxtyping import Float
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.fx import Node, Tracer
from torch.nn import functional as F


class _Tracer(Tracer):
    """Does not look into modules without children, nor into timm's norms with an activation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or not any(m.children())


def fold_batch_norm(network: nn.Module) -> int:
    """Make every BatchNorm2d right after a convolution part of it, while it is in `.eval()`.

    Then y = γ (W∗x + c − μ) / √(σ² + ε) + β is one convolution, with the kernel W γ / √(σ² + ε):
    a memory-bound pass less in both directions, and one activation less to keep. Kernels are made
    again in every call, so that W, γ and β are trained as before, and names of parameters stay.
    In training mode both modules do what they did.

    Returns the number of pairs, without those folded before; 0 for a network that torch.fx cannot
    trace.
    """
    pairs = _pairs(network)
    for convolution, norm in pairs:
        convolution.norm_behind = (norm,)  # in a tuple: no submodule
        convolution.forward = MethodType(_convolve, convolution)
        norm.forward = MethodType(_activate, norm)
    return len(pairs)


@contextmanager
def folded_batch_norms(network: nn.Module) -> Iterator[int]:
    """`fold_batch_norm` for a while, for many passes of a network that is somebody else's.

    Kernels are made once, without gradients, for inputs in channels_last, also for pairs that
    `fold_batch_norm` folded before. Modules in training mode stay as they are, as does a network
    with forward hooks, which would see other values meanwhile. A network that takes another way
    for tensors than for torch.fx's proxies may give other values: compare once.

    Yields the number of pairs.
    """
    found = {}
    if not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules()):
        folded = [m for m in network.modules() if hasattr(m, "norm_behind")]
        found = {m: m.norm_behind[0] for m in folded} | dict(_pairs(network))
    before = []
    for convolution, norm in found.items():
        if norm.training:
            continue
        before += [(module, vars(module).get("forward")) for module in (convolution, norm)]
        with torch.no_grad():
            kernel, shift = _kernel(convolution, norm)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        convolution.forward = partial(_convolve_with, convolution, kernel, shift)
        norm.forward = MethodType(_activate, norm)
    try:
        yield len(before) // 2
    finally:
        for module, forward in before:
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def _pairs(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return []
    try:
        nodes: Iterable[Node] = _Tracer().trace(network).nodes
    except Exception:  # whatever a network's control flow raises at a proxy
        return []
    calls = [node for node in nodes if node.op == "call_module"]
    targets = [node.target for node in calls]
    pairs = []
    for node in calls:
        norm, before = network.get_submodule(node.target), node.args[0] if node.args else None
        if not isinstance(norm, nn.BatchNorm2d) or not norm.track_running_stats:
            continue
        if not isinstance(before, Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        convolution = network.get_submodule(before.target)
        once = targets.count(node.target) == targets.count(before.target) == 1
        own = not any("forward" in vars(module) for module in (convolution, norm))
        plain = type(convolution) is nn.Conv2d and convolution.padding_mode == "zeros"
        plain &= type(norm).forward in (nn.BatchNorm2d.forward, BatchNormAct2d.forward)
        if plain and once and own:
            pairs.append((convolution, norm))
    return pairs


def _convolve(self: nn.Conv2d, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o p q"]:
    (norm,) = self.norm_behind
    if norm.training:
        return self._conv_forward(x, self.weight, self.bias)
    return _convolve_with(self, *_kernel(self, norm), x)


def _kernel(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d
) -> tuple[Float[Tensor, "o g kh kw"], Float[Tensor, " o"]]:
    """W γ / √(σ² + ε), and (c − μ) γ / √(σ² + ε) + β."""
    bias = convolution.bias
    factor = torch.rsqrt(norm.running_var + norm.eps)
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    if norm.affine:
        factor = factor * norm.weight
        shift = torch.addcmul(norm.bias, shift, factor)
    else:
        shift = shift * factor
    return convolution.weight * factor[:, None, None, None], shift


def _convolve_with(
    like: nn.Conv2d,
    kernel: Float[Tensor, "o g kh kw"],
    shift: Float[Tensor, " o"],
    x: Float[Tensor, "b i h w"],
) -> Float[Tensor, "b o p q"]:
    return F.conv2d(x, kernel, shift, like.stride, like.padding, like.dilation, like.groups)


def _activate(self: nn.BatchNorm2d, x: Float[Tensor, "b o p q"]) -> Float[Tensor, "b o p q"]:
    if self.training:
        return type(self).forward(self, x)
    for then in self.children():  # timm's norms with an activation: dropout, then it
        x = then(x)
    return x
