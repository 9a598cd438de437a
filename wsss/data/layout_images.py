"""The images and masks of a data set on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt8

from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.core.files.store import ImageRecord
from wsss.core.images import decode
from wsss.core.log import log
from wsss.core.parallel import imap
from wsss.data.agreement import check_positives
from wsss.data.kind import Purpose, Sample, Split, spread
from wsss.data.layout import Layout
from wsss.data.listing import Listing, check_mask_list, check_overlap, open_labels, read_listing
from wsss.data.mask_files import MaskError, read_mask, renumbering
from wsss.data.problems import Findings
from wsss.data.reading import read_image

_SHOWN = 20  # unreadable files that an error names


def read_records(
    layout: Layout, split: Split, skip_unreadable: bool, workers: int
) -> tuple[int, Iterator[ImageRecord]]:
    """How many images a split has, and each byte for byte, after one full decoding.

    Sizes are (H, W) as decoded, with EXIF orientation ignored, as masks are. Raises UserError
    where lists or labels are wrong, where the two splits overlap, where a class has no train
    image, and after the last image for unreadable ones, unless they are skipped.
    """
    findings = Findings()
    check_overlap(read_list(layout.lists["train"]), read_list(layout.lists["val"]), findings)
    listing = read_listing(layout, split, open_labels(layout, findings), findings)
    check_positives(listing.labels.sum(axis=0), layout.classes, split, findings)
    findings.raise_errors()
    if listing.unlabelled:
        log.info("%s: %d images without any of the classes left out", split, listing.unlabelled)
    return len(listing.ids), _records(listing, split, skip_unreadable, workers)


def _records(
    listing: Listing, split: Split, skip_unreadable: bool, workers: int
) -> Iterator[ImageRecord]:
    unreadable = []
    contents = imap(read_image, listing.images, workers)
    for name, path, labels, content in zip(
        listing.ids, listing.images, listing.labels, contents, strict=True
    ):
        if isinstance(content, str):
            unreadable.append(f"{path}: {content}")
        else:
            yield ImageRecord(name, *content, labels)
    _report_unreadable(split, unreadable, skip_unreadable)


def read_listed_masks(
    layout: Layout,
    split: Split,
    purpose: Purpose,
    ids: Sequence[str],
    workers: int,
    findings: Findings,
) -> tuple[list[str], Iterator[UInt8[np.ndarray, "h w"] | MaskError]]:
    """The `ids` that the list of this purpose names, and their masks or what is wrong.

    Ids that come twice or do not belong to the split are added to `findings`. UserError where the
    list names none of `ids`.
    """
    place = layout.masks[split, purpose]
    listed = set(read_list(place.listing))
    ids = [name for name in ids if name in listed]
    if not ids:
        raise UserError(f"{place.listing}: names none of the images of {split}; correct it")
    check_mask_list(layout, split, place.listing, f"{split} {purpose} masks", findings)
    paths = [place.folder / f"{name}.png" for name in ids]
    return ids, imap(partial(_read_mask, renumbering(layout.classes, layout.known)), paths, workers)


def samples(layout: Layout, split: Split, count: int) -> Iterator[Sample]:
    """Up to `count` images, spread evenly over the split's list, with the careful mask if any."""
    findings = Findings()
    listing = read_listing(layout, split, open_labels(layout, findings), findings)
    findings.raise_errors()
    folders: dict[str, Path] = {}
    purposes: tuple[Purpose, ...] = ("supervision", "evaluation")  # the careful mask last: it wins
    for purpose in purposes:
        if (split, purpose) in layout.masks:
            place = layout.masks[split, purpose]
            folders |= dict.fromkeys(read_list(place.listing), place.folder)
    new_ids = renumbering(layout.classes, layout.known)
    for i in spread(len(listing.ids), count):
        name, content = listing.ids[i], read_image(listing.images[i])
        if isinstance(content, str):
            raise UserError(f"{listing.images[i]}: {content}; replace the file")
        mask = read_mask(folders[name] / f"{name}.png", new_ids) if name in folders else None
        yield Sample(name, decode(content[0]), mask, listing.labels[i])


def _read_mask(
    new_ids: Int16[np.ndarray, " 256"], path: Path
) -> UInt8[np.ndarray, "h w"] | MaskError:
    try:
        return read_mask(path, new_ids)
    except MaskError as error:
        return error


def _report_unreadable(split: Split, unreadable: list[str], skip: bool) -> None:
    if not unreadable:
        return
    shown = unreadable[:_SHOWN]
    if len(unreadable) > _SHOWN:
        message = f"… and {len(unreadable) - _SHOWN} more"
        shown.append(message)
    if skip:
        log.warning("%s: %d unreadable images left out", split, len(unreadable))
        for line in shown:
            log.warning("  %s", line)
        return
    message = f"{split}: {len(unreadable)} unreadable images; replace them, or set skip_unreadable"
    raise UserError("\n".join([message, *shown]))
