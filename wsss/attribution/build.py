"""From a recipe to an explaining method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps
from wsss.attribution.recipe import AnyExplanation, Explanation, Lrp
from wsss.attribution.registry import METHODS
from wsss.attribution.smooth import smooth
from wsss.attribution.tta import tta
from wsss.core.random import mix
from wsss.nn.recipe import Backbone

Method = Callable[[Classifier, Float[Tensor, "b 3 H W"], Bool[Tensor, "b c"] | float], Maps]


def build_method(recipe: AnyExplanation, backbone: Backbone, seed: int) -> Method:
    """The recipe's method with its options, smoothed and averaged over views as it says."""
    options = recipe.model_dump(exclude={*Explanation.model_fields, "method"})
    if isinstance(recipe, Lrp):
        pairs = list(zip(backbone.mean, backbone.std, strict=True))
        options["low"] = [-mean / std for mean, std in pairs]
        options["high"] = [(1 - mean) / std for mean, std in pairs]
    method = partial(METHODS[recipe.method], **options)
    if recipe.smooth is not None:
        noise = recipe.smooth
        method = smooth(method, noise.repetitions, noise.sigma, seed=mix(seed, "noise") % 2**63)
    if recipe.tta is not None:
        method = tta(method, recipe.tta.scales, flip=recipe.tta.flip)
    return method
