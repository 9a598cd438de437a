"""MinMax-Grad-CAM: MinMax-CAM for any differentiable head (David et al. 2022)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from wsss.attribution.backward import pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.contrast import contrast_of
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.methods.minmax_cam import minmax_cam
from wsss.attribution.selection import Selection, contrast_classes, select


def minmax_grad_cam(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    contrast: Selection | None = None,
) -> Maps:
    """Σ_k w_k A_k, w the sum over positions of ∂(s_c − 1/max(n − 1, 1) · Σ s_j)/∂A, s the logits.

    j are the other classes that are contrasted in the image, as in `minmax_cam`; which they are is
    a constant for the gradient. Where logits are linear in the activations' means it is MinMax-CAM
    and is computed as such.
    """
    if classifier.is_averaged:
        return minmax_cam(classifier, images, selection, contrast=contrast)
    with frozen_parameters(classifier.network):
        seen = classifier.see(images, head_gradients=True)
        logits = seen.logits.detach()
        chosen = select(selection, logits)
        against = contrast_of(chosen, contrast_classes(selection, contrast, logits), logits.dtype)
        target = against.own - against.others / against.n_others
        weights = seen.activations.new_empty(len(target), seen.activations.shape[1])
        for places, g in pair_gradients(seen.logits, seen.activations, chosen, target):
            weights[places] = g.sum((2, 3))
    return weighted_sum(seen, chosen, weights)
