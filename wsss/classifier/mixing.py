"""CutMix and MixUp of multi-label batches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms import v2

from wsss.classifier.data_recipe import MixRecipe

KINDS = {"cutmix": v2.CutMix, "mixup": v2.MixUp}


def mix_batch(
    images: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b c"], recipe: MixRecipe
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b c"]]:
    """Each image mixed with the one before it in the batch, and labels λ y + (1 − λ) y'.

    λ is the share of the image's own pixels (CutMix, Yun et al. 2019) or its weight (MixUp, Zhang
    et al. 2018), the same for the whole batch. With probability 1 − recipe.probability the batch is
    returned as it is. Random numbers come from torch's global generator; the given tensors stay as
    they are.
    """
    if torch.rand(()) >= recipe.probability:
        return images, labels
    return KINDS[recipe.kind](alpha=recipe.alpha)(images, labels)
