"""The layout of the PASCAL VOC devkit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from wsss.core.environment import expand
from wsss.core.mistakes import did_you_mean
from wsss.data.file_kind import FileData, check_suffix, refuse_repeats
from wsss.data.kind import Purpose, Split
from wsss.data.layout import Layout, MaskFolder

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


class VocData(FileData):
    """The layout of the PASCAL VOC devkit, with SBD's masks in SegmentationClassAug."""

    kind: Literal["voc"]
    train_list: str = Field("train_aug", description="ImageSets/Segmentation/<name>.txt.")
    val_list: str = Field("val", description="ImageSets/Segmentation/<name>.txt.")
    train_masks_list: str | None = Field(
        "train", description="List of the train ids that have careful masks; null: none has."
    )
    evaluation_masks: str | None = Field(
        "SegmentationClass", description="Folder of the masks that evaluation reads; null: none."
    )
    supervision_masks: str | None = Field(
        "SegmentationClassAug", description="Folder of the masks of the train list; null: none."
    )
    labels: str = Field(
        "xml",
        description="xml: Annotations/<id>.xml; or a .csv, .json, .txt or .npy file below root.",
    )
    difficult: bool = Field(
        True, description="Objects marked difficult in the XML count as labels."
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Subset of the 20 classes, in the order of their new ids; null: all."
    )
    keep_unlabelled: bool = Field(
        False, description="Keep train images of none of the classes (all labels 0); val does."
    )

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in refuse_repeats(names or ()):
            if name not in VOC_CLASSES:
                raise ValueError(
                    f"'{name}' is not a VOC class{did_you_mean(name, list(VOC_CLASSES))}"
                )
        if names == ():
            raise ValueError("an empty list; name classes, or give null for all 20")
        return names

    @model_validator(mode="after")
    def _check_labels(self) -> VocData:
        if self.labels != "xml":
            check_suffix(self.labels, (".csv", ".json", ".txt", ".npy"), "'xml' or ")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""
        return self.classes or VOC_CLASSES

    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether the recipe names masks for this."""
        if purpose == "supervision":
            return split == "train" and self.supervision_masks is not None
        listed = split == "val" or self.train_masks_list is not None
        return listed and self.evaluation_masks is not None

    def layout(self) -> Layout:
        """Where the parts lie; UserError where `root` is not a folder or cannot be expanded."""
        root = self.root_folder()
        lists = root / "ImageSets" / "Segmentation"
        masks: dict[tuple[Split, Purpose], MaskFolder] = {}
        if self.evaluation_masks is not None:
            folder = root / self.evaluation_masks
            masks["val", "evaluation"] = MaskFolder(folder, lists / f"{self.val_list}.txt")
            if self.train_masks_list is not None:
                listing = lists / f"{self.train_masks_list}.txt"
                masks["train", "evaluation"] = MaskFolder(folder, listing)
        if self.supervision_masks is not None:
            listing = lists / f"{self.train_list}.txt"
            masks["train", "supervision"] = MaskFolder(root / self.supervision_masks, listing)
        named = "Annotations" if self.labels == "xml" else expand(self.labels, "labels")
        return Layout(
            root=root,
            lists={
                "train": lists / f"{self.train_list}.txt",
                "val": lists / f"{self.val_list}.txt",
            },
            images=root / "JPEGImages",
            labels=root / named,
            masks=masks,
            classes=self.class_names,
            known=VOC_CLASSES,
            keep_unlabelled=self.keep_unlabelled,
            difficult=self.difficult,
        )
