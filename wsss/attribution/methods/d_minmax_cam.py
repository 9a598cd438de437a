"""D-MinMax-CAM: positive and negative weights of MinMax-CAM decomposed (David et al. 2022)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.attribution.classifier import Classifier
from wsss.attribution.contrast import Contrast, contrast_of
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.selection import Selection, contrast_classes, select


@torch.no_grad()
def d_minmax_cam(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    form: Literal["code", "formula"] = "code",
    contrast: Selection | None = None,
) -> Maps:
    """CAM with what is positive for c, less what is for others, and what is negative for all.

    With N_c the other classes of the image and D all n of them, W⁺ = max(W, 0), W⁻ = min(W, 0):

    - form "code", what the authors' code computes:
      W_c⁺ − (Σ_{N_c} W_j)⁺ / max(n − 1, 1) + (Σ_D W_j)⁻ / max(n, 1);
    - form "formula", what they write: W_c⁺ − 1/|N_c| Σ_{N_c} W_j⁺ + 1/n Σ_D W_j⁻.

    contrast: as in `minmax_cam`. Of a class alone both are CAM.
    Raises UserError where no weights lead from the layer to the logits.
    """
    weight = classifier.required_weight("d-minmax-grad-cam")
    seen = classifier.see(images)
    chosen = select(selection, seen.logits)
    against = contrast_of(chosen, contrast_classes(selection, contrast, seen.logits), weight.dtype)
    weigh = {"code": _code, "formula": _formula}[form]
    return weighted_sum(seen, chosen, weigh(against, weight))


def _code(against: Contrast, weight: Float[Tensor, "c k"]) -> Float[Tensor, "p k"]:
    own = (against.own @ weight).clamp(min=0)
    others = (against.others @ weight).clamp(min=0) / against.n_others
    return own - others + (against.all @ weight).clamp(max=0) / against.n


def _formula(against: Contrast, weight: Float[Tensor, "c k"]) -> Float[Tensor, "p k"]:
    positive, negative = weight.clamp(min=0), weight.clamp(max=0)
    number = against.others.sum(1, keepdim=True).clamp(min=1)
    others = against.others @ positive / number
    return against.own @ positive - others + against.all @ negative / against.n
