"""Affinity labels from class maps: sure foreground, sure background, uncertain between them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.affinity.recipe import LabelsRecipe
from wsss.core.errors import UserError
from wsss.core.files.store import MapReader, MapRecord
from wsss.core.images import IGNORE
from wsss.core.maps import SALIENT, label_indices, labels_to_ids, upsample
from wsss.crf.inference import ImageCrf
from wsss.crf.masks_from_maps import Paths, open_maps, write_masks
from wsss.crf.unary import unary_from_labels


def make_labels(
    recipe: LabelsRecipe,
    maps: Paths,
    images: Paths,
    *,
    saliency: Paths = (),
    workers: int,
    out: Path,
) -> None:
    """Write the affinity labels of every record of `maps` (shards) to the masks file `out`.

    saliency: a maps file of the one class "salient" (or its shards), which then says what is
    background; none: low class maps do. Ids, order, split and classes are as in `maps`. Raises
    UserError where maps, images and saliency do not belong together.
    """
    work = affinity_label
    if saliency:
        records, _ = open_maps(saliency, images, SALIENT)
        missing = [name for name in MapReader(maps).ids if name not in records]
        if missing:
            raise UserError(
                f"{records.paths[0]}: no saliency of '{missing[0]}'; give it for all images"
            )
        work = partial(_with_saliency, records)
    write_masks(work, maps, images, recipe, out, workers, "affinity labels")


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

    def refine_at(threshold: float) -> np.ndarray:
        unary = unary_from_labels(label_indices(maps, threshold), num_labels, recipe.crf.confidence)
        return crf.infer(unary, recipe.crf.steps).argmax(0)

    foreground, background = refine_at(recipe.foreground), refine_at(recipe.background)
    label = labels_to_ids(foreground, record.classes)
    label[(foreground == 0) & (background > 0)] = IGNORE
    return label


def _with_saliency(
    saliency: MapReader,
    image: UInt8[np.ndarray, "H W 3"],
    record: MapRecord,
    recipe: LabelsRecipe,
) -> UInt8[np.ndarray, "H W"]:
    return salient_label(image, record, saliency[record.id], recipe)


def salient_label(
    image: UInt8[np.ndarray, "H W 3"],
    record: MapRecord,
    saliency: MapRecord,
    recipe: LabelsRecipe,
) -> UInt8[np.ndarray, "H W"]:
    """Class ids, 0 for sure background and 255 for uncertain, where saliency is known (P-NOC).

    B is the label CRF of [saliency > salient], F the label CRF of B · argmax[foreground; maps].
    The label is F where F > 0, 0 where both are 0, else 255: salient, but of no class for sure.
    """
    size = image.shape[:2]
    steps, confidence = recipe.crf.steps, recipe.crf.confidence
    salient = (upsample(saliency.maps, size)[0] > recipe.salient).astype(np.uint8)
    two = ImageCrf(image, recipe.crf.kernels(), 2)
    salient = two.infer(unary_from_labels(salient, 2, confidence), steps).argmax(0)

    seeds = label_indices(upsample(record.maps, size), recipe.foreground)
    seeds[salient == 0] = 0
    num_labels = len(record.classes) + 1
    crf = ImageCrf(image, recipe.crf.kernels(), num_labels)
    found = crf.infer(unary_from_labels(seeds, num_labels, confidence), steps).argmax(0)
    label = labels_to_ids(found, record.classes)
    label[(found == 0) & (salient > 0)] = IGNORE
    return label
