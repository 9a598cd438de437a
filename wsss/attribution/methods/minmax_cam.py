"""MinMax-CAM (David et al. 2022, doi 10.5220/0010807800003124)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.attribution.classifier import Classifier
from wsss.attribution.contrast import contrast_of
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.selection import Selection, contrast_classes, select


@torch.no_grad()
def minmax_cam(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    contrast: Selection | None = None,
) -> Maps:
    """CAM with the weights W_c − 1/max(n − 1, 1) · Σ W_j over the other classes j of the image.

    contrast: the n classes D of the image that c is set against, except c itself; None: the
    selection, or what is detected at 0.5 where that is a list of indices. Of a class alone it is
    CAM. For a class outside of D the sum is over n classes, and the divisor stays.

    Raises UserError where no weights lead from the layer to the logits.
    """
    weight = classifier.required_weight("minmax-grad-cam")
    seen = classifier.see(images)
    chosen = select(selection, seen.logits)
    against = contrast_of(chosen, contrast_classes(selection, contrast, seen.logits), weight.dtype)
    return weighted_sum(seen, chosen, (against.own - against.others / against.n_others) @ weight)
