"""A folder of one's own."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from wsss.core.environment import expand
from wsss.data.file_kind import FileData, check_suffix, refuse_repeats
from wsss.data.kind import Purpose, Split
from wsss.data.layout import Layout, MaskFolder
from wsss.data.problems import FOLDER_ERRORS


class FolderData(FileData):
    """A folder of one's own: images/, a labels file, train.txt, val.txt, and masks if any."""

    errors: ClassVar[tuple[str, ...]] = FOLDER_ERRORS

    kind: Literal["folder"]
    classes: tuple[str, ...] = Field(
        min_length=1, description="Foreground classes in the order of their ids; background is 0."
    )
    labels: str = Field("labels.csv", description="A .csv, .json, .txt or .npy file below root.")
    train_list: str = Field("train.txt", description="File of the train ids, below root.")
    val_list: str = Field("val.txt", description="File of the validation ids, below root.")
    images: str = Field("images", description="Folder of the images, below root.")
    masks: str | None = Field(
        None, description="Folder of the masks of all val images, below root; null: none."
    )
    train_masks_list: str | None = Field(
        None, description="File of the train ids that have a mask too, below root; null: none has."
    )
    keep_unlabelled: bool = Field(
        True, description="Keep train images of none of the classes, as negatives; val does."
    )

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) > 254:
            raise ValueError("more than 254 classes; masks are 8 bit and 255 is ignored")
        if "background" in names or "" in names:
            raise ValueError("'background' and '' cannot be classes; id 0 is background by itself")
        return refuse_repeats(names)

    @model_validator(mode="after")
    def _check_labels(self) -> FolderData:
        check_suffix(self.labels, (".csv", ".json", ".txt", ".npy"), "")
        return self

    @model_validator(mode="after")
    def _check_masks(self) -> FolderData:
        if self.masks is None and self.train_masks_list is not None:
            raise ValueError("train_masks_list without masks; name their folder: `masks: masks`")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""
        return self.classes

    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether the recipe names masks for this."""
        if self.masks is None or (split, purpose) == ("val", "supervision"):
            return False
        return split == "val" or self.train_masks_list is not None

    def layout(self) -> Layout:
        """Where the parts lie; UserError where `root` is not a folder or cannot be expanded."""
        root = self.root_folder()
        masks: dict[tuple[Split, Purpose], MaskFolder] = {}
        if self.masks is not None:
            folder = root / self.masks
            masks["val", "evaluation"] = MaskFolder(folder, root / self.val_list)
            if self.train_masks_list is not None:
                train = MaskFolder(folder, root / self.train_masks_list)
                masks["train", "evaluation"] = masks["train", "supervision"] = train
        return Layout(
            root=root,
            lists={"train": root / self.train_list, "val": root / self.val_list},
            images=root / self.images,
            labels=root / expand(self.labels, "labels"),
            masks=masks,
            classes=self.classes,
            known=self.classes,
            keep_unlabelled=self.keep_unlabelled,
            exhaustive=True,
        )
