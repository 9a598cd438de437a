"""D-MinMax-Grad-CAM: decomposed MinMax-CAM for any differentiable head (David et al. 2022)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from wsss.attribution.backward import pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.contrast import contrast_of
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.methods.d_minmax_cam import d_minmax_cam
from wsss.attribution.selection import Selection, contrast_classes, select


def d_minmax_grad_cam(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    contrast: Selection | None = None,
) -> Maps:
    """Σ_k w_k A_k with w = Σ over positions of max(g¹, 0) − max(g², 0) + min(g³, 0).

    g¹ is the gradient of s_c by A. g² is the gradient of Σ s_j / max(n − 1, 1) over the other
    classes, g³ of Σ s_j / max(n, 1) over all n classes. The n classes are those that are contrasted
    in the image, as in `minmax_cam`.

    Where logits are linear in the activations' means it is D-MinMax-CAM in the form of the
    authors' code, and is computed as such.
    """
    if classifier.is_averaged:
        return d_minmax_cam(classifier, images, selection, contrast=contrast)
    with frozen_parameters(classifier.network):
        seen = classifier.see(images, head_gradients=True)
        logits = seen.logits.detach()
        chosen = select(selection, logits)
        against = contrast_of(chosen, contrast_classes(selection, contrast, logits), logits.dtype)
        targets = (
            against.own,
            against.others / against.n_others,
            against.all / against.n,
        )
        weights = seen.activations.new_empty(len(against.own), seen.activations.shape[1])
        gradients = (pair_gradients(seen.logits, seen.activations, chosen, t) for t in targets)
        for (places, own), (_, others), (_, all_) in zip(*gradients, strict=True):
            weights[places] = (own.clamp(min=0) - others.clamp(min=0) + all_.clamp(max=0)).sum(
                (2, 3)
            )
    return weighted_sum(seen, chosen, weights)
