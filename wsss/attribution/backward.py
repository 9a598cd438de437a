"""Gradients of targets of (image, class) pairs, many images in one backward pass."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from wsss.attribution.selection import rounds


def one_hot(chosen: Bool[Tensor, "b c"]) -> Int[Tensor, "n c"]:
    """1 at each chosen pair's own class: its target is its logit."""
    return F.one_hot(chosen.nonzero()[:, 1], chosen.shape[1])


def pair_gradients(
    logits: Float[Tensor, "b c"],
    of: Float[Tensor, "b ..."],
    chosen: Bool[Tensor, "b c"],
    coefficients: Int[Tensor, "n c"] | Float[Tensor, "n c"],
) -> Iterator[tuple[Int[Tensor, " m"], Float[Tensor, "m ..."]]]:
    """(places, ∂(Σ_c coefficient_c s_c)/∂`of`) round by round; places in `chosen.nonzero()`.

    The graph stays: the same logits may be differentiated again.
    """
    images = chosen.nonzero()[:, 0]
    for places in rounds(chosen):
        target = torch.zeros_like(logits)
        target[images[places]] = coefficients[places].to(logits.dtype)
        (gradient,) = torch.autograd.grad(logits, of, target, retain_graph=True)
        yield places, gradient[images[places]]
