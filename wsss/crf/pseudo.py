"""Pseudo masks from class maps: a background threshold and a dense CRF.

The affinity stage makes its pseudo masks with this, and the saliency stage the masks that teach its
network. Stages do not import each other, so it stands below both, next to the CRF that it runs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.files.store import MapRecord
from wsss.core.maps import label_indices, labels_to_ids, upsample
from wsss.crf.inference import mean_field
from wsss.crf.masks_from_maps import Paths, write_masks
from wsss.crf.recipe import PseudoRecipe
from wsss.crf.unary import unary_from_labels


def make_pseudo_masks(
    recipe: PseudoRecipe,
    maps: Paths,
    images: Paths,
    *,
    classes: tuple[str, ...] | None = None,
    workers: int,
    out: Path,
) -> None:
    """Write the pseudo mask of every record of `maps` (shards) to the masks file `out`.

    classes: what the maps must be of; None: the images' classes. Ids, order, split and classes of
    the masks are as in `maps`; no pixel is 255. Raises UserError where maps and images do not
    belong together.
    """
    write_masks(pseudo_mask, maps, images, recipe, out, workers, "pseudo masks", classes)


def pseudo_mask(
    image: UInt8[np.ndarray, "H W 3"], record: MapRecord, recipe: PseudoRecipe
) -> UInt8[np.ndarray, "H W"]:
    """Class ids of argmax[threshold; maps], maps in [0, 1], after a label CRF if there is one."""
    indices = label_indices(upsample(record.maps, image.shape[:2]), recipe.threshold)
    if recipe.crf is not None:
        unary = unary_from_labels(indices, len(record.classes) + 1, recipe.crf.confidence)
        refined = mean_field(image, unary, pairwise=recipe.crf.kernels(), steps=recipe.crf.steps)
        indices = refined.argmax(0)
    return labels_to_ids(indices, record.classes)
