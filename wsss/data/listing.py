"""What the lists, folders and labels of a split say, before any image is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.errors import UserError
from wsss.core.files.id_list import SUFFIXES, read_list
from wsss.core.mistakes import did_you_mean
from wsss.data.kind import Split
from wsss.data.labels import read_labels, read_xml
from wsss.data.layout import Layout
from wsss.data.problems import Findings

LabelsOf = Callable[[str], tuple[str, ...] | None]


@dataclass(frozen=True)
class Listing:
    """The usable images of a split, in the order of its list. labels (N, C) in {0, 1}.

    unlabelled: how many train images were left out because they hold none of the classes.
    """

    ids: tuple[str, ...]
    images: tuple[Path, ...]
    labels: UInt8[np.ndarray, "n c"]
    unlabelled: int


def open_labels(layout: Layout, findings: Findings) -> LabelsOf:
    """A function from image id to class names; it raises KeyError where an id has no labels.

    None stands for a row of the labels file that cannot be read, which is in `findings` already.
    Raises UserError where the labels as a whole cannot be read.
    """
    if layout.labels.suffix:
        return read_labels(layout.labels, layout.known, findings).__getitem__
    if not layout.labels.is_dir():
        raise UserError(f"{layout.labels}: no such folder; put the XML annotations there")

    def names(image_id: str) -> tuple[str, ...]:
        path = layout.labels / f"{image_id}.xml"
        if not path.is_file():
            raise KeyError(image_id)
        return read_xml(path, layout.difficult)

    return names


def image_files(folder: Path) -> dict[str, list[Path]]:
    """The JPEG and PNG files of a folder by stem: several where a stem has several files."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; put the images there or correct the recipe")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    return found


def read_listing(layout: Layout, split: Split, labels: LabelsOf, findings: Findings) -> Listing:
    """The images of a split that have a file and labels; others are reported to `findings`.

    Images of none of the classes are left out of train unless the recipe keeps them. Never out of
    val: what a network finds in them are false positives, and metrics must count them.

    Raises UserError if the list itself or the folder of images cannot be read.
    """
    classes, known = layout.classes, set(layout.known)
    files = image_files(layout.images)
    listed = read_list(layout.lists[split])
    if not listed:
        findings.add("empty list", split, str(layout.lists[split]))
    seen: set[str] = set()
    ids, images, rows = [], [], []
    unlabelled = 0
    for name in listed:
        if name in seen:
            findings.add("duplicate id", split, f"{name}: twice in {layout.lists[split].name}")
            continue
        seen.add(name)
        paths = files.get(name, [])
        if not paths:
            findings.add("missing image", split, f"{name}: not in {layout.images}")
        if len(paths) > 1:
            findings.add("duplicate id", split, f"{name}: {', '.join(p.name for p in paths)}")
        try:
            found = labels(name)
        except UserError as error:
            findings.add("unreadable labels", split, str(error))
            continue
        except KeyError:
            findings.add("missing labels", split, f"{name}: not in {layout.labels}")
            continue
        if found is None:
            continue
        for word in found:
            if word not in known:
                near = did_you_mean(word, list(layout.known))
                findings.add("unknown class", split, f"{name}: '{word}'{near}")
        row = np.array([c in found for c in classes], np.uint8)
        if split == "train" and not row.any() and not layout.keep_unlabelled:
            unlabelled += 1
        elif len(paths) == 1:
            ids.append(name)
            images.append(paths[0])
            rows.append(row)
    stacked = np.array(rows, np.uint8).reshape(-1, len(classes))
    return Listing(tuple(ids), tuple(images), stacked, unlabelled)


def check_mask_list(
    layout: Layout, split: Split, listing: Path, where: str, findings: Findings
) -> None:
    """Report the ids of a list of masks that come twice, or that the split's own list lacks."""
    if listing == layout.lists[split]:
        return
    own, seen = set(read_list(layout.lists[split])), set()
    for name in read_list(listing):
        if name in seen:
            findings.add("duplicate id", where, f"{name}: twice in {listing.name}")
        elif name not in own:
            message = f"{name}: in {listing.name}, not in {layout.lists[split].name}"
            findings.add("id outside the split", where, message)
        seen.add(name)


def check_overlap(train: Iterable[str], val: Iterable[str], findings: Findings) -> None:
    """Report the ids that stand in the lists of both splits."""
    for name in sorted(set(train) & set(val)):
        findings.add("overlapping splits", "train and val", name)
