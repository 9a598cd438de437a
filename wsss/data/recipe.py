"""Recipes of the data stage: generated scenes, the VOC devkit layout, a folder of one's own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from wsss.core.errors import UserError
from wsss.core.recipe import Recipe, did_you_mean, error_lines

Split = Literal["train", "val"]
Purpose = Literal["evaluation", "supervision"]

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
# A toy class is named after the mark that tells its objects from those of other classes.
TOY_CLASSES = ("ring", "cross", "bars", "checks", "dots", "star", "triangle", "half")

_ROOT = "Folder of the data set; ${NAME} (an environment variable) and ~ are read at run time."
_UNREADABLE = "Leave out images that cannot be decoded, with a warning, instead of stopping."


class _Data(Recipe):
    """What the workflow asks of every kind of data, answered without reading any file."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""

    @abstractmethod
    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether `prepare_masks` can make this file; supervision is for train only."""


class ToyData(_Data):
    """Generated scenes with exact masks; each knob is one failure mode of WSSS.

    The scene of an index depends on the seed, the split, the index and the knobs, never on how
    many scenes there are; knobs of appearance leave objects, places and masks alone.
    """

    kind: Literal["toy"]
    train: int = Field(800, ge=1, description="Number of training images.")
    val: int = Field(200, ge=1, description="Number of validation images.")
    size: int = Field(96, ge=32, le=512, description="Height and width of an image in pixels.")
    seed: int = Field(0, ge=0, description="Seed of the whole data set.")
    classes: int = Field(5, ge=2, le=len(TOY_CLASSES), description="Number of classes.")
    long_tail: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="The last class is drawn (1 - long_tail) as often as the first.",
    )
    missing_labels: float = Field(
        0.0, ge=0, lt=1, description="Probability that a true label of a train image is dropped."
    )
    co_occurrence: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Probability that a class brings its partner (1+2, 3+4, …) along.",
    )
    background_bias: float = Field(
        0.6, ge=0, le=1, description="Probability that a class stands on its own kind of ground."
    )
    shared_body: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of coat colour and pattern that all classes have in common.",
    )
    part_strength: float = Field(
        0.9, ge=0, le=1, description="Opacity of the mark that tells the classes apart."
    )
    part_size: float = Field(
        0.14, gt=0, le=0.5, description="Area of the mark as a share of the body's area."
    )
    max_instances: int = Field(2, ge=1, le=8, description="Most objects of one class in a scene.")
    occlusion: float = Field(
        0.3, ge=0, le=0.9, description="Largest share of an object that nearer ones may hide."
    )
    scale_min: float = Field(0.4, ge=0.15, le=1, description="Smallest object length / image side.")
    scale_max: float = Field(0.8, ge=0.15, le=1, description="Largest object length / image side.")

    @model_validator(mode="after")
    def _ordered(self) -> ToyData:
        if self.scale_min > self.scale_max:
            raise ValueError(
                f"scale_min {self.scale_min} is above scale_max {self.scale_max}; swap them"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""
        return TOY_CLASSES[: self.classes]

    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether `prepare_masks` can make this file, judged by the recipe alone."""
        return split == "train" or purpose == "evaluation"


class VocData(_Data):
    """The layout of the PASCAL VOC devkit, with SBD's masks in SegmentationClassAug."""

    kind: Literal["voc"]
    root: str = Field(description=_ROOT)
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
    skip_unreadable: bool = Field(False, description=_UNREADABLE)

    @field_validator("classes")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in _unique(names or ()):
            if name not in VOC_CLASSES:
                raise ValueError(f"'{name}' is no VOC class{did_you_mean(name, list(VOC_CLASSES))}")
        if names == ():
            raise ValueError("an empty list; name classes, or give null for all 20")
        return names

    @model_validator(mode="after")
    def _labels_format(self) -> VocData:
        if self.labels != "xml":
            _check_suffix(self.labels, (".csv", ".json", ".txt", ".npy"), "'xml' or ")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""
        return self.classes or VOC_CLASSES

    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether `prepare_masks` can make this file, judged by the recipe alone."""
        if purpose == "supervision":
            return split == "train" and self.supervision_masks is not None
        listed = split == "val" or self.train_masks_list is not None
        return listed and self.evaluation_masks is not None


class FolderData(_Data):
    """A folder of one's own: images/, a labels file, train.txt, val.txt, and masks if any."""

    kind: Literal["folder"]
    root: str = Field(description=_ROOT)
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
    skip_unreadable: bool = Field(False, description=_UNREADABLE)

    @field_validator("classes")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) > 254:
            raise ValueError("more than 254 classes; masks are 8 bit and 255 is ignored")
        if "background" in names or "" in names:
            raise ValueError("'background' and '' are no classes; id 0 is background by itself")
        return _unique(names)

    @model_validator(mode="after")
    def _labels_format(self) -> FolderData:
        _check_suffix(self.labels, (".csv", ".json", ".txt", ".npy"), "")
        return self

    @model_validator(mode="after")
    def _masks_of_train(self) -> FolderData:
        if self.masks is None and self.train_masks_list is not None:
            raise ValueError("train_masks_list without masks; name their folder: `masks: masks`")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""
        return self.classes

    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether `prepare_masks` can make this file, judged by the recipe alone."""
        if self.masks is None or (split, purpose) == ("val", "supervision"):
            return False
        return split == "val" or self.train_masks_list is not None


DataRecipe = Annotated[ToyData | VocData | FolderData, Field(discriminator="kind")]
_KINDS = {"toy": ToyData, "voc": VocData, "folder": FolderData}


def parse(text: str) -> ToyData | VocData | FolderData:
    """The recipe that a JSON object describes; its `kind` says which.

    Raises UserError with one line per mistake.
    """
    try:
        return TypeAdapter(DataRecipe).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "union_tag_invalid":
            kind = first["ctx"]["tag"]
            lines = [f"kind: '{kind}' is no kind of data{did_you_mean(kind, list(_KINDS))}"]
        elif first["type"] == "union_tag_not_found":
            lines = [f"kind: missing; give one of {', '.join(_KINDS)}"]
        else:
            model = _KINDS[first["loc"][0]] if first["loc"] else ToyData
            lines = [line for _, line in error_lines(error, model)]
    raise UserError("\n".join(f"--recipe: {line}" for line in lines))


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"class '{name}' comes twice")
    return names


def _check_suffix(name: str, known: tuple[str, ...], before: str) -> None:
    if not name.lower().endswith(known):
        raise ValueError(
            f"labels '{name}': expected {before}a file name ending in {', '.join(known)}"
        )
