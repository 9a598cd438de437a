"""Grad-CAM++ (Chattopadhay et al. 2018)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.attribution.backward import one_hot, pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.selection import Selection, select


def grad_cam_plus_plus(
    classifier: Classifier, images: Float[Tensor, "b 3 H W"], selection: Selection = 0.5
) -> Maps:
    """M_c = Σ_k w_ck A_k, w_ck = Σ_ij α ReLU(g), α = g² / (2g² + S_k g³), g = ∂s_c/∂A_kij.

    S_k is the sum of A_k over positions. The paper's factor exp(s_c), the same for a whole map, is
    left out: it cancels in ψ. The weights are made for A ≥ 0; where activations without a ReLU
    have S_k < 0, they have a pole at g = −2/S_k (0 there) and are negative beyond.

    Where logits are linear in the activations' means g is W_ck/(hw) everywhere, and no backward
    pass is needed.
    """
    if classifier.is_averaged:
        with torch.no_grad():
            seen = classifier.see(images)
        chosen = select(selection, seen.logits)
        at, classes = chosen.nonzero(as_tuple=True)
        size = seen.activations[0, 0].numel()
        sums = seen.activations.sum((2, 3))[at]
        return weighted_sum(seen, chosen, size * _weigh(classifier.weight[classes] / size, sums))
    with frozen_parameters(classifier.network):
        seen = classifier.see(images, head_gradients=True)
        chosen = select(selection, seen.logits)
        sums = seen.activations.detach().sum((2, 3))[chosen.nonzero()[:, 0]]
        weights = torch.empty_like(sums)
        for places, g in pair_gradients(seen.logits, seen.activations, chosen, one_hot(chosen)):
            weights[places] = _weigh(g, sums[places, :, None, None]).sum((2, 3))
    return weighted_sum(seen, chosen, weights)


def _weigh(g: Float[Tensor, "n k ..."], sums: Float[Tensor, "n k ..."]) -> Float[Tensor, "n k ..."]:
    # α ReLU(g) = g / (2 + S g) where g > 0. For other g the fraction of the paper may be 0/0.
    g = g.clamp(min=0)
    denominator = 2 + sums * g
    return torch.where(denominator == 0, 0, g / denominator)
