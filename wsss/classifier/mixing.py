"""CutMix and MixUp of multi-label batches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms import v2

from wsss.classifier.data_recipe import MixRecipe
from wsss.training.synchronised import own_share, seed_of_first_rank, whole_batch

KINDS = {"cutmix": v2.CutMix, "mixup": v2.MixUp}


def mix_batch(
    images: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b c"], recipe: MixRecipe
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b c"]]:
    """Each image mixed with the one before it in the batch, and labels λ y + (1 − λ) y'.

    λ is the share of the image's own pixels (CutMix, Yun et al. 2019) or its weight (MixUp, Zhang
    et al. 2018), the same for the whole batch. With probability 1 − recipe.probability the batch is
    returned as it is. Random numbers follow from torch's global generator; the given tensors stay
    as they are. Where processes share a batch each gives its own images, and gets them mixed.
    """
    seed = seed_of_first_rank(images.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # a GPU's dropout goes on as it was
        if torch.rand(()) >= recipe.probability:
            return images, labels
        mix = KINDS[recipe.kind](alpha=recipe.alpha)
        mixed = mix(whole_batch(images), whole_batch(labels))
    return own_share(mixed[0]), own_share(mixed[1])
