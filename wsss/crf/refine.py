"""Refine a whole maps or masks file by a dense CRF: one mask per image, in worker processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer, UInt8

from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import train_threshold
from wsss.core.files.pairing import require_classes, require_images
from wsss.core.files.store import (
    Header,
    ImageReader,
    MapReader,
    MapRecord,
    MaskReader,
    MaskWriter,
    file_kind,
)
from wsss.core.images import IGNORE, decode
from wsss.core.log import progress
from wsss.core.maps import SALIENT, label_indices, upsample
from wsss.core.parallel import imap
from wsss.crf.inference import ImageCrf
from wsss.crf.recipe import CrfRecipe
from wsss.crf.unary import unary_from_labels, unary_from_probabilities

RGB = UInt8[np.ndarray, "h w 3"]
Mask = UInt8[np.ndarray, "h w"]
Paths = Sequence[str | Path]


def refine(
    source: Paths,
    images: Paths,
    recipe: CrfRecipe,
    out: str | Path,
    workers: int,
    threshold_from: Path | None = None,
) -> None:
    """Write the masks file `out`: every record of `source` after a dense CRF on its image.

    `source`: shards of one maps or masks file; `images`: an images file (or shards) that holds at
    least the same ids. The ids keep their order, split and classes stay as in `source`.
    `threshold_from`: the evaluation whose threshold a recipe with `threshold_on: train` takes.
    UserError where the recipe's unary does not fit the file, or the files do not fit each other.
    """
    recipe, chosen = _with_threshold(recipe, threshold_from)
    records = _open_source(source, recipe)
    pictures = ImageReader(images)
    if records.header.classes != SALIENT:
        known, at = pictures.header.classes, pictures.paths[0]
        require_classes(records, known, of=at, remedy="give files of one data set")
    require_images(records, pictures)
    of = records.header
    made = {"source": of.source()} | chosen
    header = Header("masks", of.split, of.classes, recipe.to_json(), made)
    refine_at = partial(_refine_one, records, pictures, recipe)
    with MaskWriter(out, header) as writer:
        for image_id, mask in progress(
            zip(records.ids, imap(refine_at, range(len(records)), workers), strict=True),
            total=len(records),
            what="dense CRF",
        ):
            writer.add(image_id, mask)


def _with_threshold(recipe: CrfRecipe, evaluation: Path | None) -> tuple[CrfRecipe, dict[str, str]]:
    """The recipe with its threshold as a number, and where that came from."""
    if (recipe.threshold_on == "train") != (evaluation is not None):
        raise UserError("--threshold-from goes with a recipe of `threshold_on: train`, and only so")
    if evaluation is None:
        return recipe, {}
    value = train_threshold(evaluation)
    if not 0 < value < 1:
        raise UserError(
            f"{evaluation}: threshold {value:g} is of no use here, it must lie between 0 and 1; "
            "evaluate with other thresholds"
        )
    return recipe.model_copy(update={"threshold": value, "threshold_on": None}), {
        "threshold_from": str(evaluation)
    }


def _open_source(source: Paths, recipe: CrfRecipe) -> MapReader | MaskReader:
    if not source:
        raise UserError("dense CRF: no input; give a maps or masks file")
    kind = file_kind(source[0])
    if kind == "images":
        raise UserError(f"{source[0]}: holds images; give a maps or masks file to refine")
    if kind == "masks" and recipe.unary != "labels":
        raise UserError(f'{source[0]}: holds masks; the recipe\'s unary must be "labels"')
    return MaskReader(source) if kind == "masks" else MapReader(source)


def _refine_one(
    records: MapReader | MaskReader, pictures: ImageReader, recipe: CrfRecipe, position: int
) -> Mask:
    image_id = records.ids[position]
    try:
        record = records[position]
        image = decode(pictures[image_id].data)
        if isinstance(record, MapRecord):
            return refine_maps(image, record, recipe)
        return refine_mask(image, record, recipe)
    except UserError as error:
        raise UserError(f"{records.paths[0]}: '{image_id}': {error}") from None


def refine_maps(image: RGB, record: MapRecord, recipe: CrfRecipe) -> Mask:
    """Class ids (0 background) of the maps of one image after a dense CRF over its own classes.

    The maps are upsampled bilinearly to the image. The unary is, by recipe: "labels", hard labels
    from the argmax of [threshold; maps]; "background-power", [(1 - max)^alpha; maps] as they are
    (PSA, arXiv 1803.10464); "scores", maps with a background channel, divided by
    their sum. UserError for maps outside [0, 1] or a background channel where none belongs (or
    none where one does).
    """
    _check_maps(record, recipe)
    if not len(record.classes):
        return np.zeros(image.shape[:2], np.uint8)
    maps = upsample(record.maps, image.shape[:2])
    ids = record.classes if recipe.unary == "scores" else np.concatenate([[0], record.classes])
    if recipe.unary == "labels":
        indices = label_indices(maps, recipe.threshold)
        unary = unary_from_labels(indices, len(ids), recipe.confidence)
    elif recipe.unary == "background-power":
        background = (1 - maps.max(0).clip(0, 1)) ** np.float32(recipe.alpha)
        unary = unary_from_probabilities(
            np.concatenate([background[None], maps]), confidence=recipe.confidence
        )
    else:
        maps = maps / np.maximum(maps.sum(0), np.finfo(np.float32).tiny)
        unary = unary_from_probabilities(maps, confidence=recipe.confidence)
    return ids.astype(np.uint8)[_best(image, unary, recipe)]


def _check_maps(record: MapRecord, recipe: CrfRecipe) -> None:
    own_background = 0 in record.classes
    if recipe.unary == "scores" and not own_background:
        raise UserError('no background channel, as the unary "scores" needs; try "labels"')
    if recipe.unary != "scores" and own_background:
        raise UserError(
            f'has a background channel; the unary must be "scores", not "{recipe.unary}"'
        )
    low, high = (record.maps.min(), record.maps.max()) if record.maps.size else (0, 0)
    if low < 0 or high > 1.001:  # float16 rounds
        raise UserError(
            f"maps from {low:.3g} to {high:.3g}, a dense CRF needs [0, 1]; normalise them"
        )


def refine_mask(image: RGB, mask: Mask, recipe: CrfRecipe) -> Mask:
    """Class ids of a mask after a dense CRF over the classes in it.

    Pixels of 255 are uncertain: all classes are as likely there, and they get one. A mask of one
    class (and 255) becomes that class all over; a mask of nothing but 255 stays as it is.
    """
    uncertain = mask == IGNORE
    present = np.unique(mask[~uncertain])
    if len(present) < 2:
        return np.full_like(mask, present[0] if len(present) else IGNORE)
    table = np.zeros(256, np.uint8)
    table[present] = np.arange(len(present))
    unary = unary_from_labels(table[mask], len(present), recipe.confidence)
    unary[:, uncertain] = math.log(len(present))
    return present[_best(image, unary, recipe)]


def _best(
    image: RGB, unary: Float32[np.ndarray, "labels h w"], recipe: CrfRecipe
) -> Integer[np.ndarray, "h w"]:
    return ImageCrf(image, recipe.kernels(), len(unary)).infer(unary, recipe.steps).argmax(0)
