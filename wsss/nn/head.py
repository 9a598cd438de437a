"""The head of a classifier: features to class maps and logits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.nn.head_recipe import Head, KurKernel, TapPooling


class ClassMaps(NamedTuple):
    """maps: class maps before ReLU, logits: before the sigmoid; both float32."""

    maps: Float[Tensor, "b c h w"]
    logits: Float[Tensor, "b c"]


class CamHead(nn.Conv2d):
    """A 1×1 convolution without bias (Zhou et al. 2016 in fully convolutional form) and a pooling.

    With GAP the logits are the spatial mean of the class maps, which equals pooling the features
    first. With TAP features are pooled, and the maps come from the features as they are.
    """

    def __init__(self, features: int, classes: int, recipe: Head):
        super().__init__(features, classes, 1, bias=False)
        nn.init.kaiming_normal_(self.weight)
        self.recipe = recipe

    def effective_weight(self) -> Float[Tensor, "c k 1 1"]:
        """W, or KUR's W̃: what turns features into class maps."""
        kernel = self.recipe.kernel
        return kur(self.weight, kernel.alpha) if isinstance(kernel, KurKernel) else self.weight

    def forward(self, features: Float[Tensor, "b k h w"]) -> ClassMaps:
        """Class maps and logits of features, in float32 also under autocast.

        Maps are compared and normalised by their maximum: bfloat16's three digits would show.
        """
        pooling = self.recipe.pooling
        with torch.autocast(features.device.type, enabled=False):
            features, weight = features.float(), self.effective_weight().float()
            maps = F.conv2d(features, weight)
            if isinstance(pooling, TapPooling):
                pooled = thresholded_average(features, pooling.threshold)
                return ClassMaps(maps, F.linear(pooled, weight.flatten(1)))
            return ClassMaps(maps, maps.mean((2, 3)))


def kur(weight: Float[Tensor, "c k ..."], alpha: float | int) -> Float[Tensor, "c k ..."]:
    """W̃_ck = α · softmax over c′ (W_c′k) · W_ck (kernel usage regularization)."""
    return alpha * weight.softmax(0) * weight


def thresholded_average(
    features: Float[Tensor, "b k h w"], threshold: float | int
) -> Float[Tensor, "b k"]:
    """Mean of each feature over the positions where it is above threshold · its maximum.

    The set of positions is a constant for the gradient; it may be empty: 0 then.
    """
    counted = features > threshold * features.amax((2, 3), keepdim=True)
    return (features * counted).sum((2, 3)) / counted.sum((2, 3)).clamp(min=1)
