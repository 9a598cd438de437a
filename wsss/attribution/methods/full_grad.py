"""Full-Grad (Srinivas and Fleuret 2019): gradients by the image and by every bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from timm.layers import BlurPool2d, DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from wsss.attribution.backward import one_hot, pair_gradients
from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.maps import Maps, rescale, resize
from wsss.attribution.selection import Selection, select
from wsss.core.errors import UserError

# Piecewise affine; of those with parameters, `_biases` knows the biases.
_EXACT = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Linear,
    _BatchNorm,
    nn.ReLU,
    nn.LeakyReLU,
    nn.PReLU,
    nn.Hardtanh,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    BlurPool2d,
    nn.Upsample,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    _DropoutNd,
    DropPath,
    nn.Sequential,  # an empty one
)

# What may be missing of a logit, as a share of its terms: rounding takes less, a function that is
# not piecewise affine takes more.
_MISSING = 0.01


class FullGradient(NamedTuple):
    """maps: see `full_grad`; terms: what each pair's logit is the sum of, by name.

    "input" is Σ x ⊙ ∂s/∂x. A module's name stands for Σ β ⊙ ∂s/∂z over its output z, β its bias,
    and its BatchNorm's where that is folded into it; of the last layer that is the logit's bias.
    """

    maps: Maps
    terms: dict[str, Float[Tensor, " n"]]


class _Term(NamedTuple):
    name: str
    total: Float[Tensor, " b"]
    map: Float[Tensor, "b h w"] | None  # None of features without positions


def full_grad(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    channels: Literal["sum", "mean"] = "sum",
    strict: bool = True,
) -> Maps:
    """Sum of ψ(x ⊙ ∂s_c/∂x) and of every bias's ψ(β ⊙ ∂s_c/∂z); non-negative, at the image's size.

    ψ takes the absolute value, scales each channel to [0, 1] and resizes it to the image. Channels
    of a layer are summed (the paper) or averaged; layers are summed. Biases of fully connected
    layers, which have no place, are not in the maps.

    A logit is the sum of what ψ is taken of where the network is piecewise affine; `full_gradient`
    gives these terms, and fully connected layers' too.
    strict: False: maps also of other networks, without what is missing.
    Raises UserError if `strict` and the network is not piecewise affine; it names the modules.
    """
    return full_gradient(classifier, images, selection, channels=channels, strict=strict).maps


def full_gradient(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    channels: Literal["sum", "mean"] = "sum",
    strict: bool = True,
) -> FullGradient:
    """`full_grad` together with the terms that make up each logit (completeness)."""
    if strict:
        _require_piecewise_affine(classifier.network)
    found: list[_Term] = []

    def add(name: str, bias: Tensor, gradient: Tensor) -> None:
        product = bias * gradient
        by_place = getattr(rescale(product.abs()), channels)(1) if bias.ndim > 2 else None
        found.append(_Term(name, product.flatten(1).sum(1), by_place))

    with frozen_parameters(classifier.network):
        x = images.detach().clone().requires_grad_()
        x.register_hook(partial(add, "input", x.detach()))
        with _biases(classifier.network, add):
            logits = classifier.logits(x)
        chosen = select(selection, logits.detach())
        at, classes = chosen.nonzero(as_tuple=True)
        exact = torch.promote_types(images.dtype, torch.float32)
        maps = images.new_zeros(len(at), *images.shape[2:], dtype=exact)
        terms: dict[str, Tensor] = {}
        for places, _ in pair_gradients(logits, x, chosen, one_hot(chosen)):
            for term in found:
                total = terms.setdefault(term.name, maps.new_zeros(len(at)))
                total[places] += term.total[at[places]]
                if term.map is not None:
                    maps[places] += resize(term.map[at[places]], tuple(images.shape[2:]))
            found.clear()
    logits = logits.detach()
    if strict:
        _require_complete(terms, logits[chosen])
    return FullGradient(Maps(maps, at, classes, logits), terms)


@contextmanager
def _biases(network: nn.Module, add: Callable[[str, Tensor, Tensor], None]) -> Iterator[None]:
    """In a forward pass inside, ask for add(name, β, ∂/∂z) of each output z = linear part + β."""
    folded = {id(norm) for module in network.modules() for norm in _folded_norms(module)}
    handles = []

    def listen(name: str, bias: Tensor, value: Tensor) -> None:
        if value.requires_grad:
            value.register_hook(partial(add, name, bias))

    def keep_clamped_part(name: str, module: nn.Hardtanh, args: Any, y: Tensor) -> None:
        # Where it is constant, what it gives is a bias.
        bias = y.detach() * ((y <= module.min_val) | (y >= module.max_val))
        listen(name, bias, y)

    def keep_bias(name: str, bias: Tensor, module: nn.Module, args: Any, z: Tensor) -> None:
        listen(name, bias, z)

    def keep_normalised(name: str, bias: Tensor, module: nn.Module, args: tuple[Tensor]) -> None:
        listen(name, bias, args[0])

    for name, module in network.named_modules():
        if isinstance(module, nn.Hardtanh):
            handles.append(module.register_forward_hook(partial(keep_clamped_part, name)))
            continue
        bias = None if id(module) in folded else _bias(module)
        if bias is None:
            continue
        then = next(module.children(), None)
        if then is not None:  # timm's norms with an activation: it is not affine, its input is
            handles.append(then.register_forward_pre_hook(partial(keep_normalised, name, bias)))
        else:
            handles.append(module.register_forward_hook(partial(keep_bias, name, bias)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bias(module: nn.Module) -> Tensor | None:
    """β of an affine layer, shaped as it is added to (B, K, h, w) or (B, K); None without one."""
    if isinstance(module, nn.Linear):
        return module.bias
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        bias = module.bias
        for norm in _folded_norms(module):
            bias = _through(norm, 0 if bias is None else bias)
        return None if bias is None else bias[:, None, None]
    if isinstance(module, _BatchNorm):
        bias = _through(module, 0)
        return bias if isinstance(module, nn.BatchNorm1d) else bias[:, None, None]
    return None


def _folded_norms(module: nn.Module) -> tuple[_BatchNorm, ...]:
    """The BatchNorm that `wsss.nn.folding` made part of a convolution, if any."""
    return getattr(module, "norm_behind", ())


def _through(norm: _BatchNorm, value: Tensor | int) -> Float[Tensor, " k"]:
    y = (value - norm.running_mean) * torch.rsqrt(norm.running_var + norm.eps)
    return y * norm.weight + norm.bias if norm.affine else y


def _require_piecewise_affine(network: nn.Module) -> None:
    wrong = [
        f"{name} ({type(module).__name__})"
        for name, module in network.named_modules()
        if _has_own_work(module) and not isinstance(module, _EXACT)
    ]
    if wrong:
        rest = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"Full-Grad needs a piecewise affine network, which {', '.join(wrong[:3])}{rest} "
            f"{'is' if len(wrong) == 1 else 'are'} not; use another method, or strict=False for "
            "incomplete maps"
        )


def _has_own_work(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) or not any(module.children())


def _require_complete(terms: dict[str, Tensor], logits: Float[Tensor, " n"]) -> None:
    """UserError where functions without a module break completeness: `torch.sigmoid`, products."""
    if not terms:
        return
    each = torch.stack(list(terms.values()))
    missing = (logits - each.sum(0)).abs() / each.abs().sum(0).clamp(min=1e-30)
    if bool((missing > _MISSING).any()):
        raise UserError(
            f"Full-Grad's terms miss {float(missing.max()):.0%} of what makes up a logit, so some "
            "function of the network is not piecewise affine; use another method, or strict=False "
            "for incomplete maps"
        )
