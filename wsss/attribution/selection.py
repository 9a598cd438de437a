"""Which classes of which images are explained, and against which others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Decision(NamedTuple):
    """What was decided on images before they were augmented.

    selected: the classes to explain; contrasted: the set D of the MinMax family.
    """

    selected: Bool[Tensor, "b c"]
    contrasted: Bool[Tensor, "b c"]


# Detected above this probability; given (image-level labels); or these ids, of every image.
Labels = Bool[Tensor, "_b _c"] | Bool[np.ndarray, "_b _c"]
Selection = float | int | np.floating | Labels | Sequence[int] | Decision

DETECTED = 0.5


def select(selection: Selection, logits: Float[Tensor, "b c"]) -> Bool[Tensor, "b c"]:
    """True where a class of an image is selected.

    selection: a float δ: the classes that the classifier detects, σ(logit) > δ, right or wrong;
    a boolean tensor or array: as it says, such as ground truth; indices from 0: these, of every
    image.
    Raises ValueError for δ outside [0, 1], a tensor of another shape, or indices out of range.
    """
    if isinstance(selection, Decision):
        return selection.selected
    if isinstance(selection, Real):
        if isinstance(selection, int) or not 0 <= selection <= 1:
            raise ValueError(
                f"selection is {selection}; give a probability, or one class's index in a list"
            )
        return logits.sigmoid() > float(selection)
    if isinstance(selection, np.ndarray):
        selection = torch.from_numpy(selection)
    if isinstance(selection, Tensor):
        if selection.shape != logits.shape or selection.dtype != torch.bool:
            raise ValueError(
                f"selection is {selection.dtype} {tuple(selection.shape)}; give bool "
                f"{tuple(logits.shape)}"
            )
        return selection.to(logits.device)
    chosen = torch.zeros_like(logits, dtype=torch.bool)
    for index in selection:
        if isinstance(index, bool | np.bool_):
            raise ValueError("a list holds indices of classes; give booleans as a (B, C) tensor")
        if not 0 <= index < logits.shape[1]:
            raise ValueError(f"no class {index}; there are {logits.shape[1]}, from 0")
        chosen[:, index] = True
    return chosen


def contrast_classes(
    selection: Selection, contrast: Selection | None, logits: Float[Tensor, "b c"]
) -> Bool[Tensor, "b c"]:
    """The classes D that an image's classes are set against.

    contrast: these; None: the selection, if it says what is in the image (a threshold or a boolean
    tensor); what is detected at 0.5, if it is a list of indices.
    """
    if contrast is None:
        if isinstance(selection, Decision):
            return selection.contrasted
        contrast = DETECTED if isinstance(selection, Sequence) else selection
    return select(contrast, logits)


def decide(selection: Selection, logits: Float[Tensor, "b c"]) -> Decision:
    """The selection as these logits have it, for other views of the same images."""
    return Decision(select(selection, logits), contrast_classes(selection, None, logits))


def rounds(selected: Bool[Tensor, "b c"]) -> Iterator[Int[Tensor, " n"]]:
    """The pairs `selected.nonzero()` in groups without an image twice, as places in that list.

    In evaluation mode images do not depend on each other, so one backward pass serves a group:
    as many passes as the richest image has classes, however many classes the batch has.
    """
    images = selected.nonzero()[:, 0]
    order = selected.cumsum(1)[selected] - 1  # which of its image's classes each pair is
    for number in range(int(order.max()) + 1 if len(images) else 0):
        yield (order == number).nonzero()[:, 0]
