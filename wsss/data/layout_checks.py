"""Checks of a data set on disk: lists, labels, and every image and mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt8

from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.core.log import progress
from wsss.core.parallel import imap
from wsss.data.agreement import check_positives, compare
from wsss.data.kind import SPLITS, Purpose, Split
from wsss.data.layout import Layout
from wsss.data.listing import (
    LabelsOf,
    check_mask_list,
    check_overlap,
    open_labels,
    read_listing,
)
from wsss.data.mask_files import MaskError, read_mask, renumbering
from wsss.data.problems import Finding, Findings, size_mismatch
from wsss.data.reading import read_image


@dataclass(frozen=True)
class _Task:
    """One image to open and its masks, as (where, path) pairs.

    image: None if there is none to use. labels: None if they are unknown.
    """

    split: Split
    name: str
    image: Path | None
    labels: UInt8[np.ndarray, " c"] | None
    masks: tuple[tuple[str, Path], ...]


def check_layout(layout: Layout, findings: Findings, workers: int) -> None:
    """Add every problem of both splits to `findings`; opens each image and each mask once.

    What makes further checks impossible (no list, no labels) is reported as "missing file".
    """
    tasks = list(_tasks(layout, findings))
    new_ids = renumbering(layout.classes, layout.known)
    found = imap(partial(_check_files, layout.classes, new_ids), tasks, workers)
    for lines in progress(found, total=len(tasks), what="validate"):
        for line in lines:
            findings.add(*line)


def _tasks(layout: Layout, findings: Findings) -> Iterator[_Task]:
    """The images to open; checks lists, labels and masks' lists on the way."""
    try:
        labels = open_labels(layout, findings)
    except UserError as error:
        kind = "unreadable labels" if layout.labels.exists() else "missing file"
        findings.add(kind, "labels", str(error))
        labels = None
    lists: dict[Split, list[str]] = {}
    for split in SPLITS:
        try:
            listing = read_listing(layout, split, labels or _all_classes(layout), findings)
            lists[split] = read_list(layout.lists[split])
        except UserError as error:
            findings.add("missing file", split, str(error))
            continue
        if labels is not None:
            check_positives(listing.labels.sum(axis=0), layout.classes, split, findings)
        places = _mask_places(layout, split, findings)
        if layout.exhaustive and split == "train":
            places += _unlisted_masks(layout, lists[split], places, findings)
        for name, image, row in zip(listing.ids, listing.images, listing.labels, strict=True):
            masks = _masks_of(name, places)
            yield _Task(split, name, image, None if labels is None else row, masks)
        if layout.exhaustive:
            # A devkit's other images are left out on purpose, and are thousands.
            for name in sorted(set(lists[split]) - set(listing.ids)):
                if masks := _masks_of(name, places):
                    yield _Task(split, name, None, None, masks)
    check_overlap(lists.get("train", ()), lists.get("val", ()), findings)


def _all_classes(layout: Layout) -> LabelsOf:
    """Where labels cannot be read: no image is left out, and none is compared with its mask."""
    return lambda _: layout.classes


def _mask_places(
    layout: Layout, split: Split, findings: Findings
) -> list[tuple[str, Path, set[str]]]:
    """(where, folder, ids) of the masks; one entry where both purposes share folder and list."""
    places: dict[tuple[Path, Path], list[Purpose]] = {}
    for (owner, purpose), place in layout.masks.items():
        if owner == split:
            places.setdefault((place.folder, place.listing), []).append(purpose)
    found = []
    for (folder, listing), purposes in places.items():
        where = f"{split} {' and '.join(purposes)} masks"
        try:
            check_mask_list(layout, split, listing, where, findings)
            found.append((where, folder, set(read_list(listing))))
        except UserError as error:
            findings.add("missing file", where, str(error))
    return found


def _unlisted_masks(
    layout: Layout,
    train: list[str],
    places: list[tuple[str, Path, set[str]]],
    findings: Findings,
) -> list[tuple[str, Path, set[str]]]:
    """Masks of train images in a folder data set that no list names: checked all the same."""
    place = layout.masks.get(("val", "evaluation"))
    if place is None:
        unused = layout.root / "masks"
        if any(unused.glob("*.png")):
            findings.add("masks not used", "data set", f"{unused}: the recipe says `masks: null`")
        return []
    there = {path.stem for path in place.folder.glob("*.png")}
    unlisted = (there & set(train)).difference(*(ids for _, _, ids in places))
    if ("train", "evaluation") not in layout.masks:
        for name in sorted(unlisted):
            findings.add("train masks without a list", "train masks", f"{name}.png")
    return [("train masks", place.folder, unlisted)]


def _masks_of(name: str, places: list[tuple[str, Path, set[str]]]) -> tuple[tuple[str, Path], ...]:
    return tuple((where, folder / f"{name}.png") for where, folder, ids in places if name in ids)


def _check_files(
    classes: tuple[str, ...], new_ids: Int16[np.ndarray, " 256"], task: _Task
) -> list[Finding]:
    found: list[Finding] = []
    size = None
    if task.image is not None:
        content = read_image(task.image)
        if isinstance(content, str):
            found.append(("unreadable image", task.split, f"{task.image}: {content}"))
        else:
            size = content[1]
    for where, path in task.masks:
        try:
            mask = read_mask(path, new_ids)
        except MaskError as error:
            found.append((error.kind, where, str(error)))
            continue
        if size is not None and mask.shape != size:
            found.append(("size mismatch", where, size_mismatch(task.name, mask.shape, size)))
        if task.labels is not None:
            found += compare(task.name, where, classes, task.labels, mask)
    return found
