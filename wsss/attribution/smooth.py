"""SmoothGrad (Smilkov et al. 2017) of any method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps
from wsss.attribution.selection import Selection, decide, select


def smooth(
    method: Callable[..., Maps],
    repetitions: int = 20,
    sigma: float | int = 0.1,
    *,
    seed: int = 0,
) -> Callable[..., Maps]:
    """A method that is the mean of another's raw maps of the images and of noisy copies of them.

    repetitions: how many; the first is without noise. sigma: standard deviation of the Gaussian
    noise, in units of the preprocessed images. seed: same seed, same maps, on any device; images
    of a batch have the same noise, so that it does not matter which are explained together.

    Classes are selected, and logits are, of the images without noise.
    """

    def mean_of_noisy(
        classifier: Classifier,
        images: Float[Tensor, "b 3 H W"],
        selection: Selection = 0.5,
        **options: Any,
    ) -> Maps:
        first = method(classifier, images, selection, **options)
        decided = decide(selection, first.logits)
        if options.get("contrast") is not None:
            options["contrast"] = select(options["contrast"], first.logits)
        random = torch.Generator().manual_seed(seed)
        total = first.maps.clone()
        for _ in range(repetitions - 1):
            noise = torch.randn(images.shape[1:], generator=random) * sigma
            noisy = images + noise.to(images)
            total += method(classifier, noisy, decided, **options).maps
        return first._replace(maps=total / repetitions)

    return mean_of_noisy
