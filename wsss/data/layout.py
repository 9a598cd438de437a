"""Where the parts of a data set lie on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsss.data.kind import Purpose, Split


@dataclass(frozen=True)
class MaskFolder:
    """Masks `folder`/<id>.png of the ids that `listing` names."""

    folder: Path
    listing: Path


@dataclass(frozen=True)
class Layout:
    """The places of a data set on disk, and how to read what lies there.

    lists: the files of image ids. labels: a labels file, or the folder of VOC's XML annotations.
    classes: the chosen foreground classes; class id c is entry c - 1. known: class names of labels
    and masks as they are stored; the id k ≥ 1 in a stored mask is known[k - 1].
    keep_unlabelled: train images of none of the classes stay. difficult: objects that the XML
    marks as difficult count. exhaustive: the folder holds nothing but this data set, so that
    masks and images of it that no list names are checked, too.
    """

    root: Path
    lists: dict[Split, Path]
    images: Path
    labels: Path
    masks: dict[tuple[Split, Purpose], MaskFolder]
    classes: tuple[str, ...]
    known: tuple[str, ...]
    keep_unlabelled: bool
    difficult: bool = True
    exhaustive: bool = False
