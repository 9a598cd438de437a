"""The losses of C²AM (Xie et al. 2022) and the hints of C²AM-H (David et al. 2023)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from wsss.core.ranks import ranks
from wsss.training.synchronised import mean_over_ranks

# Cosines are kept off 0 and 1, where the logarithms have no gradient or too much of it.
LOWEST, HIGHEST = 5e-4, 0.9995


class MeanFeatures(NamedTuple):
    """Mean features of the images' foregrounds and backgrounds."""

    foreground: Float[Tensor, "b d"]
    background: Float[Tensor, "b d"]


def disentangle(
    features: Float[Tensor, "b d h w"], logits: Float[Tensor, "b 1 h w"]
) -> MeanFeatures:
    """f_i = (1/HW) Σ p v and b_i = (1/HW) Σ (1 − p) v with p = σ(logits); a matrix product each."""
    v = features.flatten(2)
    p = logits.sigmoid().flatten(2).transpose(1, 2)
    size = v.shape[-1]
    return MeanFeatures((v @ p)[..., 0] / size, (v @ (1 - p))[..., 0] / size)


def similarity(rows: Float[Tensor, "n d"], columns: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Cosines of all pairs, clamped to [5e-4, 0.9995]."""
    return (F.normalize(rows) @ F.normalize(columns).T).clamp(LOWEST, HIGHEST)


def sim_min(
    background: Float[Tensor, "n d"], foreground: Float[Tensor, "n d"]
) -> Float[Tensor, ""]:
    """Mean over all pairs of −log(1 − s(b_i, f_j)): the two are to be unlike."""
    return -torch.log1p(-similarity(background, foreground)).mean()


def sim_max(z: Float[Tensor, "n d"], decay: float | int) -> Float[Tensor, ""]:
    """Mean over all pairs of −exp(−decay · rank_ij) log s(z_i, z_j): like ones are to be more so.

    rank_ij is j's place among row i's similarities, from the highest, minus 1: an image itself has
    −1. It passes no gradient on.
    """
    s = similarity(z, z)
    place = s.detach().argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return -(torch.exp(-decay * (place - 1.0)) * s.log()).mean()


def contrast(found: MeanFeatures, decay: float | int) -> dict[str, Float[Tensor, ""]]:
    """C²AM's three terms, by name; the loss is their sum."""
    return {
        "foreground": sim_max(found.foreground, decay),
        "background": sim_max(found.background, decay),
        "apart": sim_min(found.background, found.foreground),
    }


def hint_loss(
    logits: Float[Tensor, "b 1 h w"],
    hinted: Bool[Tensor, "b 1 h w"],
    label_smoothing: float | int,
) -> Float[Tensor, ""]:
    """Mean over the hinted places of the cross entropy of σ(logits) with 1 − ε/2.

    label_smoothing: ε, in [0, 1). 0 where nothing is hinted, and no gradient then. Where processes
    share a batch, its mean over them is over all places.
    """
    target = torch.full_like(logits, 1 - label_smoothing / 2)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    count = mean_over_ranks(hinted.float().sum()).clamp(min=1 / ranks())
    return (each * hinted).sum() / count
