"""The training step of a saliency network on pseudo saliency masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.core.images import IGNORE
from wsss.saliency.recipe import NetworkTrain
from wsss.training.learner import Learner
from wsss.training.synchronised import mean_over_ranks


def saliency_loss(
    logits: Float[Tensor, "b 1 h w"], masks: UInt8[Tensor, "b H W"]
) -> Float[Tensor, ""]:
    """Mean binary cross entropy of σ(logits), enlarged, over the pixels of 0 or 1; 255 is left out.

    The published loss is the sum: for Adam they are the same. 0 where no pixel counts.
    """
    full = F.interpolate(logits.float(), masks.shape[-2:], mode="bilinear", align_corners=False)
    counts = (masks != IGNORE)[:, None]
    target = (masks == 1)[:, None].float()
    each = F.binary_cross_entropy_with_logits(full, target, reduction="none")
    return (each * counts).sum() / mean_over_ranks(counts.sum()).clamp(min=1)


class SaliencyLearner(Learner):
    """Minimises `saliency_loss`; all but the backbone are new layers."""

    def __init__(self, network: nn.Module, recipe: NetworkTrain):
        super().__init__(network.to(memory_format=torch.channels_last), recipe.training)

    def loss(self, batch: Sequence[Tensor]) -> tuple[Float[Tensor, ""], dict[str, Any]]:
        """The loss of images (b, 3, H, W), normalised, and masks (b, H, W) uint8 of 0, 1, 255."""
        images, masks = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        return saliency_loss(logits, masks), {}
