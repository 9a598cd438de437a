"""The objective of a segmentation network: cross-entropy over the pixels that have a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from wsss.core.images import IGNORE
from wsss.segmentation.network import DeepLabV3Plus
from wsss.segmentation.recipe import TrainRecipe
from wsss.training.learner import Learner
from wsss.training.synchronised import mean_over_ranks


def cross_entropy(
    logits: Float[Tensor, "b c h w"],
    masks: UInt8[Tensor, "b H W"],
    label_smoothing: float | int = 0.0,
) -> Float[Tensor, ""]:
    """Mean over the labelled pixels of −Σ_c t_c log softmax(z)_c, t = (1 − ε)·one-hot + ε/C.

    logits are upsampled bilinearly to the masks' size, in float32 whatever autocast computed them
    in. Pixels of 255 do not count; without any other pixel the loss is 0.
    """
    # Half-pixel centres: so the stored scores are upsampled later on (wsss.core.maps.upsample).
    full = F.interpolate(logits.float(), masks.shape[-2:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(
        full,
        masks.long(),
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total / mean_over_ranks((masks != IGNORE).sum()).clamp(min=1)


class SegmentationLearner(Learner):
    """Minimises `cross_entropy`; decoder and head are new layers, the backbone is pretrained."""

    def __init__(self, network: DeepLabV3Plus, recipe: TrainRecipe):
        super().__init__(network.to(memory_format=torch.channels_last), recipe.training)
        self.recipe = recipe

    def loss(self, batch: Sequence[Tensor]) -> tuple[Float[Tensor, ""], dict[str, Any]]:
        """The loss of images (b, 3, H, W), normalised, and masks (b, H, W) uint8, 255 = ignored."""
        images, masks = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        return cross_entropy(logits, masks, self.recipe.label_smoothing), {}
