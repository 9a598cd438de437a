"""Images and ground-truth masks of a split, from wherever they lie into the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageReader, ImageWriter, MaskWriter
from wsss.core.log import progress
from wsss.data.agreement import check_positives
from wsss.data.mask_files import MaskError
from wsss.data.problems import Findings, size_mismatch
from wsss.data.recipe import Data, Purpose, Split


def prepare_images(recipe: Data, split: Split, out: str | Path, workers: int = 1) -> int:
    """Write the images file of a split; returns the number of images.

    Files are kept byte for byte, after one full decoding that finds the damaged ones; toy scenes
    are written as PNG. Sizes are (H, W) as decoded, with EXIF orientation ignored, as masks are.
    Raises UserError for what `find_problems` reports as errors of lists, labels and images: also
    where the lists of the two splits overlap, or a class has no train image.
    """
    header = Header("images", split, recipe.class_names, recipe.to_json())
    positives = np.zeros(len(recipe.class_names), np.int64)
    written = 0
    total, records = recipe.read_images(split, workers)
    with ImageWriter(out, header) as writer:
        for record in progress(records, total=total, what=f"{split} images"):
            writer.add(record)
            positives += record.labels
            written += 1
        if written == 0:
            raise UserError(
                f"{split}: no image is left; check the list, the classes and the images"
            )
        findings = Findings()
        check_positives(positives, recipe.class_names, split, findings)
        findings.raise_errors()
    return written


def prepare_masks(
    recipe: Data,
    split: Split,
    purpose: Purpose,
    images: str | Path,
    out: str | Path,
    workers: int = 1,
) -> int:
    """Write the ground-truth masks of an images file; returns the number of masks.

    Ids in `images` that the list of this purpose names have masks: VOC train has careful masks of
    some images (evaluation) and SBD's of all (supervision).

    Raises UserError where a mask is missing, damaged, of another size than its image, or holds
    other values than classes. The same where the list of masks names an id twice or, for a folder,
    an id outside the split.
    """
    if not recipe.masks_for(split, purpose):
        raise UserError(f"this data set has no {purpose} masks for {split}; its recipe says so")
    with ImageReader(images) as reader:
        if (reader.header.split, reader.header.recipe) != (split, recipe.to_json()):
            raise UserError(f"{images}: made from another split or recipe; make it again")
        ids, sizes = reader.ids, dict(zip(reader.ids, reader.sizes, strict=True))
    where = f"{split} {purpose} masks"
    findings = Findings(errors=recipe.errors)
    listed, masks = recipe.read_masks(split, purpose, ids, workers, findings)
    header = Header("masks", split, recipe.class_names, recipe.to_json(), {"purpose": purpose})
    with MaskWriter(out, header) as writer:
        pairs = progress(zip(listed, masks, strict=True), total=len(listed), what=where)
        for name, mask in pairs:
            if isinstance(mask, MaskError):
                findings.add(mask.kind, where, str(mask))
            elif mask.shape != sizes[name]:
                findings.add("size mismatch", where, size_mismatch(name, mask.shape, sizes[name]))
            else:
                writer.add(name, mask)
        findings.raise_errors()
    return len(listed)
