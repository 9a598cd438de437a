"""Every problem of a data set at once, grouped by kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt8

from wsss.core.environment import expand
from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.core.log import progress
from wsss.core.parallel import imap
from wsss.data.layout import Layout, find_layout
from wsss.data.listing import (
    LabelsOf,
    check_mask_list,
    check_overlap,
    check_positives,
    open_labels,
    read_listing,
)
from wsss.data.mask_files import MaskError, read_mask, renumbering
from wsss.data.prepare import size_mismatch, toy_id
from wsss.data.problems import FOLDER_ERRORS, WARNINGS, Findings, Problem
from wsss.data.reading import read_image
from wsss.data.recipe import FolderData, Purpose, Split, ToyData, VocData
from wsss.data.toy.scene import generate

Finding = tuple[str, str, str]  # kind, where, what
SPLITS: tuple[Split, ...] = ("train", "val")


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


def find_problems(
    recipe: ToyData | VocData | FolderData,
    workers: int = 1,
    examples: int = 5,
    strict: bool = False,
) -> list[Problem]:
    """All problems of both splits, errors first, each kind with its count and first examples.

    Opens every image and every mask once, in `workers` processes. What makes further checks
    impossible (no root, no list, no labels) is reported as "missing file". Nothing is written.
    strict: warnings count as errors.
    """
    folder_errors = FOLDER_ERRORS if isinstance(recipe, FolderData) else ()
    findings = Findings(examples, WARNINGS if strict else folder_errors)
    if isinstance(recipe, ToyData):
        _check_toy(recipe, findings, workers)
        return findings.problems()
    try:
        layout = find_layout(recipe)
    except UserError as error:
        findings.add("missing file", "data set", str(error))
        return findings.problems()
    tasks = list(_tasks(layout, findings))
    new_ids = renumbering(recipe.class_names, layout.known)
    found = imap(partial(_check_files, recipe.class_names, new_ids), tasks, workers)
    for lines in progress(found, total=len(tasks), what="validate"):
        for line in lines:
            findings.add(*line)
    return findings.problems()


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
            check_positives(listing.labels.sum(axis=0), layout.recipe.class_names, split, findings)
        places = _mask_places(layout, split, findings)
        if isinstance(layout.recipe, FolderData) and split == "train":
            places += _unlisted_masks(layout, lists[split], places, findings)
        for name, image, row in zip(listing.ids, listing.images, listing.labels, strict=True):
            masks = _masks_of(name, places)
            yield _Task(split, name, image, None if labels is None else row, masks)
        if isinstance(layout.recipe, FolderData):
            # A devkit's other images are left out on purpose, and are thousands.
            for name in sorted(set(lists[split]) - set(listing.ids)):
                if masks := _masks_of(name, places):
                    yield _Task(split, name, None, None, masks)
    check_overlap(lists.get("train", ()), lists.get("val", ()), findings)


def _all_classes(layout: Layout) -> LabelsOf:
    """Where labels cannot be read: no image is left out, and none is compared with its mask."""
    return lambda _: layout.recipe.class_names


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
        unused = expand(layout.recipe.root, "root") / "masks"
        if any(unused.glob("*.png")):
            findings.add("masks not used", "data set", f"{unused}: the recipe says `masks: null`")
        return []
    there = {path.stem for path in place.folder.glob("*.png")}
    unlisted = (there & set(train)).difference(*(ids for _, _, ids in places))
    if layout.recipe.train_masks_list is None:
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
            found += _compare(task.name, where, classes, task.labels, mask)
    return found


def _compare(
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


def _check_toy(recipe: ToyData, findings: Findings, workers: int) -> None:
    for split in SPLITS:
        count = getattr(recipe, split)
        scenes = imap(partial(_check_scene, recipe, split), range(count), workers)
        positives = np.zeros(recipe.classes, np.int64)
        for labels, found in progress(scenes, total=count, what=f"validate {split}"):
            positives += labels
            for line in found:
                findings.add(*line)
        check_positives(positives, recipe.class_names, split, findings)


def _check_scene(
    recipe: ToyData, split: Split, index: int
) -> tuple[UInt8[np.ndarray, " c"], list[Finding]]:
    scene = generate(recipe, split, index)
    name, where = toy_id(split, index), f"{split} masks"
    return scene.labels, _compare(name, where, recipe.class_names, scene.labels, scene.mask)
