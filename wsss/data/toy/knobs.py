"""The knobs of generated scenes."""

from __future__ import annotations

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe

# A toy class is named after the mark that only its objects have.
TOY_CLASSES = ("ring", "cross", "bars", "checks", "dots", "star", "triangle", "half")


class Knobs(Recipe):
    """Generated scenes with exact masks; each knob is one failure mode of WSSS.

    The scene of an index depends on the seed, the split, the index and the knobs, never on how
    many scenes there are; knobs of appearance leave objects, places and masks alone.
    """

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
        0.9, ge=0, le=1, description="Opacity of the mark that distinguishes the classes."
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
    def _check_scales(self) -> Knobs:
        if self.scale_min > self.scale_max:
            raise ValueError(
                f"scale_min {self.scale_min} is above scale_max {self.scale_max}; swap them"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""
        return TOY_CLASSES[: self.classes]
