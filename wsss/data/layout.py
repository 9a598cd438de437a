"""Where the parts of a data set lie on disk, and what the ids in its masks mean."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from wsss.core.errors import UserError
from wsss.core.images import IGNORE
from wsss.data.recipe import VOC_CLASSES, FolderData, Purpose, Split, VocData


@dataclass(frozen=True)
class MaskFolder:
    """Masks `folder`/<id>.png of the ids that `listing` names."""

    folder: Path
    listing: Path


@dataclass(frozen=True)
class Layout:
    """The places of a data set on disk.

    labels: a labels file, or the folder of VOC's XML annotations. known: class names of labels and
    masks as they are stored; the id k ≥ 1 in a stored mask is known[k - 1].
    """

    recipe: VocData | FolderData
    lists: dict[Split, Path]
    images: Path
    labels: Path
    masks: dict[tuple[Split, Purpose], MaskFolder]
    known: tuple[str, ...]

    def new_ids(self) -> Int16[np.ndarray, " 256"]:
        """Class id by stored id: classes that are not chosen become 255, impossible ids -1."""
        ids = np.full(256, -1, np.int16)
        ids[0], ids[IGNORE] = 0, IGNORE
        classes = self.recipe.class_names
        for stored, name in enumerate(self.known, start=1):
            ids[stored] = classes.index(name) + 1 if name in classes else IGNORE
        return ids


def find_layout(recipe: VocData | FolderData) -> Layout:
    """The layout of a recipe; UserError if its root is no folder or names an unset variable."""
    root = Path(expand(recipe.root, "root"))
    if not root.is_dir():
        raise UserError(f"root: no folder '{root}'; correct root or the variable in it")
    return _voc(recipe, root) if isinstance(recipe, VocData) else _folder(recipe, root)


def expand(text: str, key: str) -> str:
    """`text` with each ${NAME} replaced by that environment variable; UserError if one is unset."""

    def value(match: re.Match) -> str:
        name = match[1]
        if not os.environ.get(name):
            raise UserError(f"{key}: environment variable {name} is not set; export {name}=…")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def _voc(recipe: VocData, root: Path) -> Layout:
    lists = root / "ImageSets" / "Segmentation"
    masks: dict[tuple[Split, Purpose], MaskFolder] = {}
    if recipe.evaluation_masks is not None:
        folder = root / recipe.evaluation_masks
        masks["val", "evaluation"] = MaskFolder(folder, lists / f"{recipe.val_list}.txt")
        if recipe.train_masks_list is not None:
            listing = lists / f"{recipe.train_masks_list}.txt"
            masks["train", "evaluation"] = MaskFolder(folder, listing)
    if recipe.supervision_masks is not None:
        listing = lists / f"{recipe.train_list}.txt"
        masks["train", "supervision"] = MaskFolder(root / recipe.supervision_masks, listing)
    named = "Annotations" if recipe.labels == "xml" else expand(recipe.labels, "labels")
    return Layout(
        recipe=recipe,
        lists={
            "train": lists / f"{recipe.train_list}.txt",
            "val": lists / f"{recipe.val_list}.txt",
        },
        images=root / "JPEGImages",
        labels=root / named,
        masks=masks,
        known=VOC_CLASSES,
    )


def _folder(recipe: FolderData, root: Path) -> Layout:
    masks: dict[tuple[Split, Purpose], MaskFolder] = {}
    if recipe.masks is not None:
        folder = root / recipe.masks
        masks["val", "evaluation"] = MaskFolder(folder, root / recipe.val_list)
        if recipe.train_masks_list is not None:
            train = MaskFolder(folder, root / recipe.train_masks_list)
            masks["train", "evaluation"] = masks["train", "supervision"] = train
    return Layout(
        recipe=recipe,
        lists={"train": root / recipe.train_list, "val": root / recipe.val_list},
        images=root / recipe.images,
        labels=root / expand(recipe.labels, "labels"),
        masks=masks,
        known=recipe.classes,
    )
