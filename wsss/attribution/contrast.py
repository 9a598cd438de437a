"""Which logits the MinMax family (David et al. 2022) sets against a class, as coefficients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from wsss.attribution.backward import one_hot


class Contrast(NamedTuple):
    """For each pair of an image and a class c; D are the classes contrasted in that image, n = |D|.

    own, others, all: 1 for c, for the classes of N_c = D without c, for all of D; 0 elsewhere.
    n_others: max(n − 1, 1), also of a class outside of D; n: max(n, 1).
    """

    own: Float[Tensor, "p c"]
    others: Float[Tensor, "p c"]
    all: Float[Tensor, "p c"]
    n_others: Float[Tensor, "p 1"]
    n: Float[Tensor, "p 1"]


def contrast_of(
    chosen: Bool[Tensor, "b c"], contrasted: Bool[Tensor, "b c"], dtype: torch.dtype
) -> Contrast:
    """The contrast of every chosen pair with the classes contrasted in its image."""
    own = one_hot(chosen).to(dtype)
    all_ = contrasted[chosen.nonzero()[:, 0]].to(dtype)
    n = all_.sum(1, keepdim=True)
    return Contrast(own, all_ * (1 - own), all_, (n - 1).clamp(min=1), n.clamp(min=1))
