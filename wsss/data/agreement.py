"""Whether labels, masks and classes agree."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer, UInt8

from wsss.data.kind import Split
from wsss.data.problems import Finding, Findings


def compare(
    name: str,
    where: str,
    classes: tuple[str, ...],
    labels: UInt8[np.ndarray, " c"],
    mask: UInt8[np.ndarray, "h w"],
) -> list[Finding]:
    """Where an image's labels and its mask disagree, among the chosen classes."""
    pixels = np.bincount(mask.ravel(), minlength=256)
    inside = pixels[1 : len(classes) + 1] > 0
    if labels.any() and not inside.any() and pixels[255]:
        return [("mask without classes", where, name)]
    found = []
    for c, text in enumerate(classes):
        if inside[c] and not labels[c]:
            what = f"{name}: {text} ({pixels[c + 1]} pixels)"
            found.append(("in the mask, not in the labels", where, what))
        if labels[c] and not inside[c]:
            found.append(("in the labels, not in the mask", where, f"{name}: {text}"))
    return found


def check_positives(
    positives: Integer[np.ndarray, " c"],
    classes: tuple[str, ...],
    split: Split,
    findings: Findings,
) -> None:
    """Report classes that no image of the split is labelled with; positives: images of each."""
    kind = "class without images" if split == "train" else "no image to evaluate"
    for name, count in zip(classes, positives, strict=True):
        if count == 0:
            findings.add(kind, split, name)
