"""Score-CAM (Wang et al. 2020): what the classifier makes of the image under each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps, rescale, weighted_sum
from wsss.attribution.selection import Selection, select
from wsss.nn.folding import folded_batch_norms

# Pixels of masked images in one forward pass: 20 images of 224 × 224.
_PIXELS = 2**20

_WEIGH: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "logit": lambda scores: scores,
    "softmax": lambda scores: scores.softmax(0),
}


@torch.no_grad()
def score_cam(
    classifier: Classifier,
    images: Float[Tensor, "b 3 H W"],
    selection: Selection = 0.5,
    *,
    channels: int | None = 256,
    weight: Literal["sigmoid", "logit", "softmax"] = "sigmoid",
    chunk: int | None = None,
    align_corners: bool = False,
) -> Maps:
    """M_c = Σ_k ω_ck A_k; ω from the logits s_c of x ⊙ H_k, H_k being A_k upsampled to [0, 1].

    Masked forward passes are made once for all classes of an image, and for no image without one.
    With BatchNorm another pass shows whether it may be folded meanwhile.

    channels: how many of an image's channels, by their standard deviation over space;
    constant ones, which mask nothing, never; None: all others.
    weight: ω_ck is σ(s_c) (MinMax-CAM's authors), s_c, or its softmax over the channels (the
    paper, whose baseline cancels there).
    chunk: masked images in a forward pass; None: as many as have a million pixels.
    align_corners: how masks are upsampled; True is what grad-cam does.
    """
    seen = classifier.see(images)
    chosen = select(selection, seen.logits)
    weights = seen.logits.new_zeros(int(chosen.sum()), seen.activations.shape[1])
    if chunk is None:
        chunk = max(1, _PIXELS // (images.shape[2] * images.shape[3]))
    row = 0
    with _fold_batch_norms(classifier, images, seen.logits):
        for image, activations, wanted in zip(images, seen.activations, chosen, strict=True):
            count = int(wanted.sum())
            kept = _informative(activations, channels)
            if count and len(kept):
                scores = [
                    classifier.logits(_mask(image, activations[part], align_corners))[:, wanted]
                    for part in kept.split(chunk)
                ]
                weights[row : row + count, kept] = _WEIGH[weight](torch.cat(scores)).T
            row += count
    return weighted_sum(seen, chosen, weights)


@contextmanager
def _fold_batch_norms(
    classifier: Classifier, images: Float[Tensor, "b 3 H W"], logits: Float[Tensor, "b c"]
) -> Iterator[None]:
    """BatchNorms are folded, unless that changes the logits by more than rounding."""
    with ExitStack() as folding:
        if folding.enter_context(folded_batch_norms(classifier.network)):
            off = (classifier.logits(images) - logits).abs().max()
            if not off <= 1e-2 * logits.abs().max():
                folding.close()
        yield


def _informative(activations: Float[Tensor, "k h w"], channels: int | None) -> Int[Tensor, " m"]:
    """Channels that are not constant, by descending deviation; the first so many."""
    flat = activations.flatten(1)
    order = flat.std(1, correction=0).argsort(descending=True, stable=True)
    varies = flat.amax(1) > flat.amin(1)
    return order[varies[order]][:channels]


def _mask(
    image: Float[Tensor, "3 H W"], activations: Float[Tensor, "m h w"], align_corners: bool
) -> Float[Tensor, "m 3 H W"]:
    size = image.shape[1:]
    masks = F.interpolate(activations[None], size, mode="bilinear", align_corners=align_corners)
    masked = image * rescale(masks[0])[:, None].to(image.dtype)
    return masked.contiguous(memory_format=torch.channels_last)
