"""Layer-wise relevance propagation (Bach et al. 2015): a logit shared out among the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from wsss.attribution.backward import one_hot, pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.lrp import rules as lrp_rules
from wsss.attribution.lrp.network import Composite, Propagation
from wsss.attribution.maps import Maps
from wsss.attribution.selection import Selection, select
from wsss.core.errors import UserError
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head import thresholded_average
from wsss.nn.head_recipe import TapPooling

CompositeName = Literal["epsilon", "epsilon-plus", "epsilon-gamma-box", "alpha2-beta1"]


def lrp(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    composite: CompositeName = "epsilon-plus",
    epsilon: float | int = 1e-6,
    gamma: float | int = 0.25,
    alpha: float | int = 2.0,
    beta: float | int = 1.0,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> Maps:
    """R of the pixels, summed over RGB, at the images' size; it starts as the pair's logit s_c.

    The classifier's layer does not matter; rules go through the whole network (see `Propagation`
    for which rule is for what), and a convolution and the BatchNorm after it are one layer.

    composite: linear layers have ε in all of them; convolutions
    "epsilon": ε; "epsilon-plus": z⁺; "alpha2-beta1": αβ;
    "epsilon-gamma-box": γ, and z^B for the images themselves.
    epsilon: ε, 0 for LRP-0. gamma: γ. alpha, beta: α ≥ 1 and β = α − 1. low, high: the least and
    the most that normalised pixels can be, a number per channel: −mean/std and (1 − mean)/std.

    Σ R = s_c without biases (a BatchNorm's shift is one) and with ε = 0, except what z⁺ and αβ
    lose or gain at units whose contributions have one sign; in deep networks biases keep most of
    it. With ReLUs LRP-0 is gradient × input. A residual addition that nearly cancels gives both
    summands more than they have together, with opposite signs.

    Cost: one forward pass; then, for each class of the image with most classes, transposed
    convolutions of one forward pass each (none for weights, as a backward pass has): ε and z⁺ 1,
    αβ 2, γ 3. The first of these needs sums over contributions before: z⁺ 1, αβ and γ 2. Layers
    whose input has negative numbers (not after a ReLU) cost more: z⁺ 2, αβ 4, γ 5; their sums 2, 4
    and 4. The sums are kept: memory is about as in training, and a tensor of a layer's output
    more for z⁺, two for αβ and γ. Autocast is switched off.

    Raises ValueError for images that z^B's bounds do not hold, and for numbers out of range;
    UserError for a network with an operation without a rule: transformers, GroupNorm, LayerNorm.
    """
    chosen_rules = _composite(
        composite, epsilon=epsilon, gamma=gamma, alpha=alpha, beta=beta, low=low, high=high
    )
    if chosen_rules.first is not None:
        _require_within(images, low, high)
    network = classifier.network
    no_autocast = torch.autocast(images.device.type, enabled=False)
    with frozen_parameters(network), torch.enable_grad(), no_autocast:
        pixels = images.detach().clone().requires_grad_()
        propagation = Propagation(network, pixels, chosen_rules)
        logits = _logits(classifier, propagation, pixels)
        if chosen_rules.first is not None and not propagation.first_seen:
            raise UserError(
                "lrp: no convolution takes the images themselves; choose another composite than "
                f"{composite}"
            )
        known = logits.detach()
        chosen = select(selection, known)
        of, classes = chosen.nonzero().unbind(1)
        maps = images.new_zeros(len(of), *images.shape[2:])
        start = one_hot(chosen) * known[of]
        for places, relevance in pair_gradients(logits, pixels, chosen, start):
            maps[places] = relevance.sum(1)
    return Maps(maps, of, classes, known)


def _logits(
    classifier: Classifier, propagation: Propagation, pixels: Float[Tensor, "b 3 H W"]
) -> Float[Tensor, "b c"]:
    network = classifier.network
    if not isinstance(network, CamNetwork):
        output = propagation.run(pixels, of=network)
        logits = output[-1] if isinstance(output, tuple) else output
        if not logits.requires_grad:
            raise UserError("lrp: the network's output is not logits; leave out its last sigmoid")
        return logits
    # The head computes maps first and means after; as a linear layer of means it has ε.
    features = propagation.run(pixels, of=network.features)
    pooling = network.head.recipe.pooling
    if isinstance(pooling, TapPooling):
        pooled = propagation.pool(thresholded_average, features, pooling.threshold)
    else:
        pooled = propagation.pool(torch.mean, features, (2, 3))
    return propagation.linear(F.linear, pooled, network.head.effective_weight().flatten(1))


def _composite(
    name: CompositeName,
    *,
    epsilon: float | int,
    gamma: float | int,
    alpha: float | int,
    beta: float | int,
    low: Sequence[float] | None,
    high: Sequence[float] | None,
) -> Composite:
    if epsilon < 0 or gamma < 0:
        raise ValueError(f"epsilon {epsilon} and gamma {gamma} must be 0 or more")
    stabilised = partial(lrp_rules.epsilon, epsilon=float(epsilon))
    if name == "epsilon":
        return Composite(stabilised, stabilised)
    if name == "epsilon-plus":
        return Composite(stabilised, lrp_rules.z_plus)
    if name == "alpha2-beta1":
        if beta < 0 or abs(alpha - beta - 1) > 1e-6:
            raise ValueError(f"alpha {alpha} must be 1 + beta {beta}, and beta 0 or more")
        return Composite(stabilised, partial(lrp_rules.alpha_beta, alpha=alpha, beta=beta))
    if name == "epsilon-gamma-box":
        bounds = {"low": _bound("low", low), "high": _bound("high", high)}
        return Composite(
            stabilised,
            partial(lrp_rules.gamma, gamma=float(gamma)),
            partial(lrp_rules.z_box, **bounds),
        )
    raise ValueError(f"no composite '{name}'")


def _bound(name: str, bound: Sequence[float] | None) -> Float[Tensor, "1 3 1 1"]:
    if bound is None or len(bound) != 3:
        raise ValueError(f"{name} is {bound}; z^B needs three numbers, one per channel")
    return torch.tensor(bound, dtype=torch.float64).view(1, 3, 1, 1)


def _require_within(
    images: Float[Tensor, "b 3 H W"], low: Sequence[float] | None, high: Sequence[float] | None
) -> None:
    below, above = _bound("low", low).to(images), _bound("high", high).to(images)
    if (below >= above).any():
        raise ValueError(f"low {low} is not below high {high}")
    slack = 1e-5 * (above - below)  # black and white, normalised in float32, miss them by a little
    if (images < below - slack).any() or (images > above + slack).any():
        least, most = images.amin((0, 2, 3)).tolist(), images.amax((0, 2, 3)).tolist()
        raise ValueError(f"images have {least} to {most}, not within low {low} and high {high}")
