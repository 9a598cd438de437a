"""From a maps file and its images to a masks file, one image at a time in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.errors import UserError
from wsss.core.files.pairing import require_classes, require_images
from wsss.core.files.store import Header, ImageReader, MapReader, MapRecord, MaskWriter
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.parallel import imap
from wsss.core.recipe import Recipe

Paths = Sequence[str | Path]
Image = UInt8[np.ndarray, "H W 3"]
Mask = UInt8[np.ndarray, "H W"]
Work = Callable[[Image, MapRecord, Recipe], Mask]


def open_maps(
    maps: Paths, images: Paths, classes: tuple[str, ...] | None = None
) -> tuple[MapReader, ImageReader]:
    """Shards of one maps file, and of the images file that holds at least its ids.

    classes: what the maps are of; None: the images' classes. UserError where classes or sizes
    differ.
    """
    if not maps or not images:
        raise UserError("no maps or images given; give --maps and --images")
    records, pictures = MapReader(maps), ImageReader(images)
    if classes is not None:
        require_classes(records, classes, remedy="give others")
    else:
        known, at = pictures.header.classes, pictures.paths[0]
        require_classes(records, known, of=at, remedy="make the maps again")
    require_images(records, pictures)
    return records, pictures


def check_foreground(record: MapRecord, path: Path) -> None:
    """UserError for maps with a background channel: a threshold is the background here."""
    if 0 in record.classes:
        raise UserError(
            f"{path}: maps of '{record.id}' have a background channel; give class activation maps"
        )


def write_masks(
    work: Work,
    maps: Paths,
    images: Paths,
    recipe: Recipe,
    out: Path,
    workers: int,
    what: str,
    classes: tuple[str, ...] | None = None,
) -> None:
    """Write the mask work(image, record, recipe) of every record of `maps`, in its order, to `out`.

    `work` is a module-level function; `what` names it on the progress bar. Images without maps get
    masks of 0. Records are read where they are used, so memory does not grow with the split.
    """
    records, pictures = open_maps(maps, images, classes)
    of = records.header
    made = {"source": of.source(), "crf": recipe.model_dump(mode="json")["crf"]}
    header = Header("masks", of.split, of.classes, recipe.to_json(), made)
    one = partial(_one, work, records, pictures, recipe)
    with MaskWriter(out, header) as writer:
        masks = imap(one, range(len(records)), workers)
        pairs = zip(records.ids, masks, strict=True)
        for image_id, mask in progress(pairs, total=len(records), what=what):
            writer.add(image_id, mask)


def _one(
    work: Work, records: MapReader, pictures: ImageReader, recipe: Recipe, position: int
) -> Mask:
    record = records[position]
    check_foreground(record, records.paths[0])
    if not len(record.classes):
        return np.zeros(record.size, np.uint8)
    return work(decode(pictures[record.id].data), record, recipe)
