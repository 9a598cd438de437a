"""Affinity labels from class maps: sure foreground, sure background, uncertain between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.affinity.recipe import LabelsRecipe
from wsss.core.images import IGNORE
from wsss.core.maps import label_indices, labels_to_ids, upsample
from wsss.core.store import MapRecord
from wsss.crf.inference import ImageCrf
from wsss.crf.masks_from_maps import Paths, write_masks
from wsss.crf.unary import unary_from_labels


def make_labels(
    recipe: LabelsRecipe, maps: Paths, images: Paths, *, workers: int, out: Path
) -> None:
    """Write the affinity labels of every record of `maps` (shards) to the masks file `out`.

    Ids, order, split and classes are those of `maps`. Raises UserError where maps and images do
    not belong together.
    """
    write_masks(affinity_label, maps, images, recipe, out, workers, "affinity labels")


def affinity_label(
    image: UInt8[np.ndarray, "H W 3"], record: MapRecord, recipe: LabelsRecipe
) -> UInt8[np.ndarray, "H W"]:
    """Class ids, 0 for sure background and 255 for uncertain, of one image's maps in [0, 1].

    F and B are the label CRFs of argmax[foreground; maps] and argmax[background; maps] over the
    image's own classes; F's class where F > 0, 0 where both are 0, else 255 (IRN, 1904.05044).
    """
    maps = upsample(record.maps, image.shape[:2])
    num_labels = len(record.classes) + 1
    crf = ImageCrf(image, recipe.crf.kernels(), num_labels)

    def refined(threshold: float) -> np.ndarray:
        unary = unary_from_labels(label_indices(maps, threshold), num_labels, recipe.crf.confidence)
        return crf.infer(unary, recipe.crf.steps).argmax(0)

    foreground, background = refined(recipe.foreground), refined(recipe.background)
    label = labels_to_ids(foreground, record.classes)
    label[(foreground == 0) & (background > 0)] = IGNORE
    return label
