"""Images and ground-truth masks of a split, from wherever they lie into the store."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Integer, UInt8
from PIL import Image

from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.core.files.store import Header, ImageReader, ImageRecord, ImageWriter, MaskWriter
from wsss.core.log import log, progress
from wsss.core.parallel import imap
from wsss.data.layout import find_layout
from wsss.data.listing import (
    check_mask_list,
    check_overlap,
    check_positives,
    open_labels,
    read_listing,
)
from wsss.data.mask_files import MaskError, read_mask, renumbering
from wsss.data.problems import FOLDER_ERRORS, Findings
from wsss.data.reading import read_image
from wsss.data.recipe import FolderData, Purpose, Split, ToyData, VocData
from wsss.data.toy.scene import generate

Data = ToyData | VocData | FolderData
_SHOWN = 20  # unreadable files that an error names


def prepare_images(recipe: Data, split: Split, out: str | Path, workers: int = 1) -> int:
    """Write the images file of a split; returns the number of images.

    Files are kept byte for byte, after one full decoding that finds the damaged ones; toy scenes
    are written as PNG. Sizes are (H, W) as decoded, with EXIF orientation ignored, as masks are.
    Raises UserError for what `find_problems` reports as errors of lists, labels and images: also
    where the lists of the two splits overlap, or a class has no train image.
    """
    header = Header("images", split, recipe.class_names, recipe.to_json())
    positives = np.zeros(len(recipe.class_names), np.int64)
    if isinstance(recipe, ToyData):
        count = getattr(recipe, split)
        with ImageWriter(out, header) as writer:
            scenes = imap(partial(_toy_record, recipe, split), range(count), workers)
            for record in progress(scenes, total=count, what=f"{split} images"):
                writer.add(record)
                positives += record.labels
            _refuse_absent_classes(recipe, split, positives)
        return count
    layout = find_layout(recipe)
    findings = Findings()
    check_overlap(read_list(layout.lists["train"]), read_list(layout.lists["val"]), findings)
    listing = read_listing(layout, split, open_labels(layout, findings), findings)
    check_positives(listing.labels.sum(axis=0), recipe.class_names, split, findings)
    findings.raise_errors()
    if listing.unlabelled:
        log.info("%s: %d images without any of the classes left out", split, listing.unlabelled)
    unreadable = []
    with ImageWriter(out, header) as writer:
        contents = imap(read_image, listing.images, workers)
        records = zip(listing.ids, listing.images, listing.labels, contents, strict=True)
        for name, path, labels, content in progress(
            records, total=len(listing.ids), what=f"{split} images"
        ):
            if isinstance(content, str):
                unreadable.append(f"{path}: {content}")
            else:
                writer.add(ImageRecord(name, *content, labels))
                positives += labels
        _report_unreadable(recipe, split, unreadable)
        written = len(listing.ids) - len(unreadable)
        if written == 0:
            raise UserError(
                f"{split}: no image is left; check the list, the classes and the images"
            )
        _refuse_absent_classes(recipe, split, positives)
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

    Masks are those of the ids in `images` that the list of this purpose names: VOC train has
    careful masks of some images (evaluation) and SBD's of all (supervision). UserError where a
    mask is missing, damaged, of another size than its image, or holds other values than classes,
    and where the list of masks names an id twice or, for a folder, an id outside the split.
    """
    if not recipe.masks_for(split, purpose):
        raise UserError(f"this data set has no {purpose} masks for {split}; its recipe says so")
    with ImageReader(images) as reader:
        if (reader.header.split, reader.header.recipe) != (split, recipe.to_json()):
            raise UserError(f"{images}: made from another split or recipe; make it again")
        ids, sizes = reader.ids, dict(zip(reader.ids, reader.sizes, strict=True))
    where = f"{split} {purpose} masks"
    findings = Findings(errors=FOLDER_ERRORS if isinstance(recipe, FolderData) else ())
    if isinstance(recipe, ToyData):
        task, items = partial(_toy_mask, recipe, split), range(len(ids))
    else:
        layout = find_layout(recipe)
        place = layout.masks[split, purpose]
        listed = set(read_list(place.listing))
        ids = [name for name in ids if name in listed]
        if not ids:
            raise UserError(f"{place.listing}: names none of the images in {images}; correct it")
        check_mask_list(layout, split, place.listing, where, findings)
        task = partial(_read_mask, renumbering(recipe.class_names, layout.known))
        items = [place.folder / f"{name}.png" for name in ids]
    header = Header("masks", split, recipe.class_names, recipe.to_json(), {"purpose": purpose})
    with MaskWriter(out, header) as writer:
        masks = zip(ids, imap(task, items, workers), strict=True)
        for name, mask in progress(masks, total=len(ids), what=where):
            if isinstance(mask, MaskError):
                findings.add(mask.kind, where, str(mask))
            elif mask.shape != sizes[name]:
                findings.add("size mismatch", where, size_mismatch(name, mask.shape, sizes[name]))
            else:
                writer.add(name, mask)
        findings.raise_errors()
    return len(ids)


def size_mismatch(name: str, mask: tuple[int, ...], image: tuple[int, int]) -> str:
    """The line about a mask that does not fit its image; sizes are (H, W)."""
    return f"{name}: mask {mask[0]}×{mask[1]}, image {image[0]}×{image[1]} (height × width)"


def toy_id(split: Split, index: int) -> str:
    """The id of a toy scene, e.g. "train-000012"."""
    return f"{split}-{index:06d}"


def _toy_record(recipe: ToyData, split: Split, index: int) -> ImageRecord:
    scene = generate(recipe, split, index)
    buffer = io.BytesIO()
    Image.fromarray(scene.image).save(buffer, format="PNG", compress_level=4)
    return ImageRecord(toy_id(split, index), buffer.getvalue(), scene.mask.shape, scene.labels)


def _toy_mask(recipe: ToyData, split: Split, index: int) -> UInt8[np.ndarray, "h w"]:
    return generate(recipe, split, index).mask


def _read_mask(
    new_ids: Int16[np.ndarray, " 256"], path: Path
) -> UInt8[np.ndarray, "h w"] | MaskError:
    try:
        return read_mask(path, new_ids)
    except MaskError as error:
        return error


def _refuse_absent_classes(
    recipe: Data, split: Split, positives: Integer[np.ndarray, " c"]
) -> None:
    findings = Findings()
    check_positives(positives, recipe.class_names, split, findings)
    findings.raise_errors()


def _report_unreadable(recipe: VocData | FolderData, split: Split, unreadable: list[str]) -> None:
    if not unreadable:
        return
    shown = unreadable[:_SHOWN]
    if len(unreadable) > _SHOWN:
        shown.append(f"… and {len(unreadable) - _SHOWN} more")
    if recipe.skip_unreadable:
        log.warning("%s: %d unreadable images left out", split, len(unreadable))
        for line in shown:
            log.warning("  %s", line)
        return
    first = f"{split}: {len(unreadable)} unreadable images; replace them, or set skip_unreadable"
    raise UserError("\n".join([first, *shown]))
