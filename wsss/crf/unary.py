"""Unary energies of the dense CRF: -log probabilities of labels or scores."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float32, Integer

from wsss.core.errors import UserError

SMALLEST = 1e-5  # probabilities are clipped here, as everywhere in the field


def unary_from_labels(
    labels: Integer[np.ndarray, "h w"], num_labels: int, confidence: float
) -> Float32[np.ndarray, "num_labels h w"]:
    """Energies of hard labels that are right with probability g = `confidence` in (0, 1).

    `labels` are integers in [0, num_labels), every pixel is labelled. The labelled class gets
    -log g, each of the n - 1 others -log((1 - g) / (n - 1)): pydensecrf's `unary_from_labels` with
    `zero_unsure=False`. Raises UserError for fewer than two labels, labels out of range, or a
    confidence outside (0, 1).
    """
    if num_labels < 2:
        raise UserError(f"unary from {num_labels} labels: give at least 2 (background counts)")
    if not 0 < confidence < 1:
        raise UserError(f"confidence {confidence:g} of labels: give a number between 0 and 1")
    low, high = labels.min(initial=0), labels.max(initial=0)
    if low < 0 or high >= num_labels:
        raise UserError(f"labels {low} to {high}, but they must lie in [0, {num_labels})")
    right = np.float32(-math.log(confidence))
    wrong = np.float32(-math.log((1 - confidence) / (num_labels - 1)))
    return np.where(labels == np.arange(num_labels)[:, None, None], right, wrong)


def unary_from_probabilities(
    probabilities: Float[np.ndarray, "labels h w"], *, confidence: float = 1.0
) -> Float32[np.ndarray, "labels h w"]:
    """Energies -log clip(g p + (1 - g) / L, 1e-5, 1) of scores p in [0, 1], g = `confidence`.

    The scores need not sum to 1 (PSA and OC-CSE do not normalise them). Raises UserError for a
    confidence outside (0, 1].
    """
    if not 0 < confidence <= 1:
        raise UserError(f"confidence {confidence:g} of scores: give a number above 0, at most 1")
    mixed = probabilities.astype(np.float32)
    if confidence < 1:
        mixed *= np.float32(confidence)
        mixed += np.float32((1 - confidence) / len(mixed))
    np.clip(mixed, SMALLEST, 1, out=mixed)
    np.log(mixed, out=mixed)
    return np.negative(mixed, out=mixed)
