"""Grad-CAM (Selvaraju et al. 2017): CAM for any differentiable head."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.attribution.backward import one_hot, pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.selection import Selection, select


def grad_cam(
    classifier: Classifier, images: Float[Tensor, "b 3 H W"], selection: Selection = 0.5
) -> Maps:
    """M_c = Σ_k α_ck A_k, α_ck the mean over positions of ∂s_c/∂A_k, s the logits.

    Where logits are linear in the activations' means it is CAM/(hw), without a backward pass.
    """
    if classifier.is_averaged:
        with torch.no_grad():
            seen = classifier.see(images)
        chosen = select(selection, seen.logits)
        weights = classifier.weight[chosen.nonzero()[:, 1]]
        return weighted_sum(seen, chosen, weights / seen.activations[0, 0].numel())
    with frozen_parameters(classifier.network):
        seen = classifier.see(images, head_gradients=True)
        chosen = select(selection, seen.logits)
        weights = seen.activations.new_empty(int(chosen.sum()), seen.activations.shape[1])
        for places, g in pair_gradients(seen.logits, seen.activations, chosen, one_hot(chosen)):
            weights[places] = g.mean((2, 3))
    return weighted_sum(seen, chosen, weights)
