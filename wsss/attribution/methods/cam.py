"""CAM (Zhou et al. 2016), also without negative weights (NWC, Bae et al. 2020)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps, weighted_sum
from wsss.attribution.selection import Selection, select


@torch.no_grad()
def cam(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    clamp_negative: bool = False,
) -> Maps:
    """M_c = Σ_k W_ck A_k: without the bias and, with thresholded pooling, of all positions.

    clamp_negative: max(W, 0) in place of W (NWC); in the maps only, the logits stay.
    Raises UserError where no weights lead from the layer to the logits.
    """
    weight = classifier.required_weight("grad-cam")
    seen = classifier.see(images)
    chosen = select(selection, seen.logits)
    if clamp_negative:
        weight = weight.clamp(min=0)
    return weighted_sum(seen, chosen, weight[chosen.nonzero()[:, 1]])
