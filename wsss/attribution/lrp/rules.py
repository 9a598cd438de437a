"""The rules of layer-wise relevance propagation: relevance of a layer's output to its input.

A rule takes a layer, its input x and its output z, and gives the function from R_z to R_x. Most of
them share out R_z by contributions x_i W_ki: R_i = Σ_k (contribution_ki / Σ_i contribution_ki) R_k.
They differ in which contributions count. What does not depend on R_z is computed once.

Bach et al. 2015 (ε, αβ); Montavon et al. 2017 (z⁺, z^B) and 2019 (γ, and which rule is for what).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

Back = Callable[[Tensor], Tensor]


class Affine(NamedTuple):
    """A layer z = W x + b.

    bias: of a shape that is added to z; None is 0. times: (x, W) to W x; transposed: (q, W, the
    shape of x) to Wᵀ q, for this W or another of its shape.
    """

    weight: Tensor
    bias: Tensor | None
    times: Callable[[Tensor, Tensor], Tensor]
    transposed: Callable[[Tensor, Tensor, torch.Size], Tensor]


Rule = Callable[[Affine, Tensor, Tensor], Back]


def linear(weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None) -> Affine:
    """A fully connected layer."""
    return Affine(weight, bias, F.linear, lambda q, w, size: q @ w)


def convolution(
    weight: Float[Tensor, "o i kh kw"],
    bias: Float[Tensor, " o"] | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Affine:
    """A convolution that pads with zeros."""
    geometry = (stride, padding, dilation, groups)
    return Affine(
        weight,
        None if bias is None else bias[:, None, None],
        lambda x, w: F.conv2d(x, w, None, *geometry),
        lambda q, w, size: conv2d_input(size, w, q, *geometry),
    )


def scaling(factor: Float[Tensor, "#c ..."], shift: Float[Tensor, "#c ..."]) -> Affine:
    """z = factor · x + shift, elementwise: a BatchNorm on its own."""
    return Affine(factor, shift, torch.mul, lambda q, w, size: q * w)


def rescale_layer(layer: Affine, factor: Float[Tensor, " o"], shift: Float[Tensor, " o"]) -> Affine:
    """A linear layer or a convolution with the BatchNorm after it: factor · (W x + b) + shift."""
    weight = layer.weight * factor.view(-1, *[1] * (layer.weight.ndim - 1))
    outputs = (-1, *[1] * (layer.weight.ndim - 2))
    bias = shift.view(outputs)
    if layer.bias is not None:
        bias = bias + layer.bias * factor.view(outputs)
    return layer._replace(weight=weight, bias=bias)


def quotient(
    relevance: Float[Tensor, "*s"], z: Float[Tensor, "*s"], epsilon: float = 0.0
) -> Float[Tensor, "*s"]:
    """R / (z + ε·sgn(z)) with sgn(0) = 1, divided in float32 at least; 0 where that divides by 0.

    What has no contributions gets no relevance, except by rules that lose some.
    """
    wide = z.to(torch.promote_types(z.dtype, torch.float32))
    wide = wide + torch.where(wide < 0, -epsilon, epsilon)
    nothing = wide == 0
    return torch.where(nothing, 0, relevance / wide.masked_fill(nothing, 1)).to(relevance.dtype)


def epsilon(layer: Affine, x: Tensor, z: Tensor, *, epsilon: float = 1e-6) -> Back:
    """R_i = Σ_k x_i W_ki / (z_k + ε·sgn(z_k)) R_k; LRP-0 with ε = 0.

    The bias keeps b_k / z_k of R_k, and ε keeps its part too.
    """
    return lambda r: x * layer.transposed(quotient(r, z, epsilon), layer.weight, x.shape)


def gamma(layer: Affine, x: Tensor, z: Tensor, *, gamma: float = 0.25) -> Back:
    """Contributions of the sign of z_k count 1 + γ times.

    Where x ≥ 0 and z_k > 0 these are weights W + γW⁺ (Montavon et al. 2019); where z_k < 0 they
    are W + γW⁻ for x ≥ 0, so that denominators are never smaller than |z_k|.
    """
    positive, negative = _contributions(layer, x, 1), _contributions(layer, x, -1)

    def back(r: Tensor) -> Tensor:
        up = quotient(torch.where(z < 0, 0, r), z + gamma * positive.total)
        down = quotient(torch.where(z < 0, r, 0), z + gamma * negative.total)
        all_alike = x * layer.transposed(up + down, layer.weight, x.shape)
        return all_alike + gamma * (positive.back(up) + negative.back(down))

    return back


def alpha_beta(
    layer: Affine, x: Tensor, z: Tensor, *, alpha: float = 2.0, beta: float = 1.0
) -> Back:
    """R_i = Σ_k (α·p⁺_ki / Σ p⁺_k − β·p⁻_ki / Σ p⁻_k) R_k of contributions p = x_i W_ki, and b_k.

    Conserves relevance where α − β = 1, no bias is added, and k has contributions of both signs.
    """
    positive = _contributions(layer, x, 1)
    negative = _contributions(layer, x, -1) if beta else None

    def back(r: Tensor) -> Tensor:
        out = alpha * positive.back(quotient(r, positive.total))
        if negative is None:
            return out
        return out - beta * negative.back(quotient(r, negative.total))

    return back


def z_plus(layer: Affine, x: Tensor, z: Tensor) -> Back:
    """Positive contributions only, x_i and W_ki of one sign: α1β0."""
    return alpha_beta(layer, x, z, alpha=1.0, beta=0.0)


def z_box(
    layer: Affine,
    x: Float[Tensor, "b c h w"],
    z: Tensor,
    *,
    low: Float[Tensor, "1 c 1 1"],
    high: Float[Tensor, "1 c 1 1"],
) -> Back:
    """z^B, for pixels in [low, high]: contributions x_i W_ki − low·W⁺_ki − high·W⁻_ki, all ≥ 0.

    The bias takes no part. Padding has none either.
    """
    low, high = (bound.to(x).expand_as(x[:1]) for bound in (low, high))
    up, down = _half(layer.weight, 1), _half(layer.weight, -1)
    total = layer.times(x, layer.weight) - layer.times(low, up) - layer.times(high, down)

    def back(r: Tensor) -> Tensor:
        q = quotient(r, total)
        out = x * layer.transposed(q, layer.weight, x.shape)
        out = out - low * layer.transposed(q, up, x.shape)
        return out - high * layer.transposed(q, down, x.shape)

    return back


def norm(pool: Callable[[Tensor], Tensor], x: Tensor) -> Back:
    """Shares in proportion to the summands of a pooling that is linear in x, such as a mean."""
    z, transposed = torch.func.vjp(pool, x)
    return lambda r: x * transposed(quotient(r, z))[0]


def addend(x: Tensor, total: Tensor) -> Back:
    """The share of a summand: x / total. Where total is 0 it is 0."""
    return lambda r: (x * quotient(r, total)).sum_to_size(x.shape)


class _Contributions(NamedTuple):
    """Of one sign: their sum over inputs, with the bias of that sign, and q to Σ_k p_ki q_k."""

    total: Tensor
    back: Back


def _contributions(layer: Affine, x: Tensor, sign: int) -> _Contributions:
    parts = [(x, sign)]
    if (x < 0).any():  # else half of the work is with zeros
        parts = [(_half(x, 1), sign), (_half(x, -1), -sign)]
    total = sum(layer.times(part, _half(layer.weight, side)) for part, side in parts)
    if layer.bias is not None:
        total = total + _half(layer.bias, sign)

    def back(q: Tensor) -> Tensor:
        # Half weights are made each time: kept, they would double the network.
        transposed = (layer.transposed(q, _half(layer.weight, s), x.shape) for _, s in parts)
        return sum(part * t for (part, _), t in zip(parts, transposed, strict=True))

    return _Contributions(total, back)


def _half(x: Tensor, sign: int) -> Tensor:
    return x.clamp(min=0) if sign > 0 else x.clamp(max=0)
