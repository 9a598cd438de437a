"""Gradients of the logits by the image (saliency maps, Simonyan et al. 2013)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from wsss.attribution.backward import one_hot, pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.maps import Maps
from wsss.attribution.selection import Selection, select


def gradients(
    classifier: Classifier, images: Float[Tensor, "b 3 H W"], selection: Selection = 0.5
) -> Maps:
    """Mean over RGB of |∂s_c/∂x|, s the logits; non-negative, at the image's resolution."""
    with frozen_parameters(classifier.network):
        x = images.detach().clone().requires_grad_()
        logits = classifier.logits(x)
        chosen = select(selection, logits.detach())
        at, classes = chosen.nonzero(as_tuple=True)
        maps = x.new_empty(len(at), *x.shape[2:])
        for places, gradient in pair_gradients(logits, x, chosen, one_hot(chosen)):
            maps[places] = gradient.abs().mean(1)
    return Maps(maps, at, classes, logits.detach())
