"""Where the parts of a data set lie on disk. The workflow asks here: nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsss.core.environment import expand
from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.data.recipe import VOC_CLASSES, FolderData, Purpose, Split, ToyData, VocData


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


def find_layout(recipe: VocData | FolderData) -> Layout:
    """The layout of a recipe; UserError if its root is no folder or cannot be expanded."""
    root = expand(recipe.root, "root")
    if not root.is_dir():
        raise UserError(f"root: no folder '{root}'; correct root or the variable in it")
    return _voc(recipe, root) if isinstance(recipe, VocData) else _folder(recipe, root)


def source_files(
    recipe: ToyData | VocData | FolderData, split: Split, purpose: Purpose | None = None
) -> list[str]:
    """The small files that decide a split: its list and its labels file, or its list of masks.

    purpose: None for what `prepare_images` reads, else for what `prepare_masks` reads. The images,
    masks and XML annotations themselves are too many to be named. A file that does not exist is
    left out, so that the job runs and says what is missing. Raises UserError like `find_layout`.
    """
    if isinstance(recipe, ToyData):
        return []
    layout = find_layout(recipe)
    if purpose is None:
        files = [layout.lists[split], layout.labels]
    else:
        files = [m.listing for key, m in layout.masks.items() if key == (split, purpose)]
    return list(dict.fromkeys(str(file) for file in files if file.is_file()))


def image_count(recipe: ToyData | VocData | FolderData, split: Split) -> int | None:
    """How many images a split's list names; None where it cannot be read."""
    if isinstance(recipe, ToyData):
        return recipe.train if split == "train" else recipe.val
    try:
        return len(read_list(find_layout(recipe).lists[split]))
    except UserError:
        return None


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
