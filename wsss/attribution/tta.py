"""Test-time augmentation of any method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps, resize
from wsss.attribution.selection import Selection, decide, select


def tta(
    method: Callable[..., Maps],
    scales: Sequence[float | int] = (0.5, 1.0, 1.5, 2.0),
    *,
    flip: bool = True,
) -> Callable[..., Maps]:
    """A method that is the mean of another's raw maps over scales, and over flips if `flip`.

    Views are (⌊H·s⌋, ⌊W·s⌋), bilinear; their maps are resized to (H, W) as they are, signed and
    not normalised, and divided by the number of views. Classes are selected, and logits are, of
    the images as they were given, whatever the scales.
    """

    def average(
        classifier: Classifier,
        images: Float[Tensor, "b 3 H W"],
        selection: Selection = 0.5,
        **options: Any,
    ) -> Maps:
        with torch.no_grad():
            logits = classifier.logits(images)
        decided = decide(selection, logits)
        if options.get("contrast") is not None:
            options["contrast"] = select(options["contrast"], logits)
        size = (images.shape[2], images.shape[3])
        views = [(scale, flipped) for scale in scales for flipped in (False, True)[: 1 + flip]]
        total: Tensor | float = 0.0
        for scale, flipped in views:
            view = _resize_by(images, scale)
            found = method(classifier, view.flip(-1) if flipped else view, decided, **options)
            maps = found.maps.flip(-1) if flipped else found.maps
            total = total + resize(maps, size)
        return found._replace(maps=total / len(views), logits=logits)

    return average


def _resize_by(images: Float[Tensor, "b 3 H W"], scale: float | int) -> Float[Tensor, "b 3 sh sw"]:
    size = [max(1, int(side * scale)) for side in images.shape[2:]]
    if size == list(images.shape[2:]):
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)
