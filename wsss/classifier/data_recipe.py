"""Recipes of a classifier's training data: augmentation, mixing of images, balance of classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wsss.core.recipe import Recipe
from wsss.nn.recipe import Augment


class RandAugmentRecipe(Recipe):
    """RandAugment as FixMatch has it: random operations, then one black square."""

    operations: int = Field(2, ge=1, description="Drawn per image; each is applied half the time.")
    magnitude: int = Field(
        10, ge=2, le=10, description="An operation's level is drawn from 1 to magnitude − 1."
    )
    cutout: int = Field(16, ge=0, description="Side of the black square, pixels; 0: no square.")


class CutMix(Recipe):
    """A box of every image is replaced by a box of another (Yun et al. 2019)."""

    kind: Literal["cutmix"]
    probability: float = Field(0.5, gt=0, le=1, description="That a batch is mixed.")
    alpha: float = Field(
        1.0, gt=0, description="The box takes a share 1 − λ of the area, λ from Beta(α, α)."
    )


class MixUp(Recipe):
    """Every image becomes λ times itself and 1 − λ times another (Zhang et al. 2018)."""

    kind: Literal["mixup"]
    probability: float = Field(1.0, gt=0, le=1, description="That a batch is mixed.")
    alpha: float = Field(1.0, gt=0, description="λ is drawn from Beta(α, α).")


MixRecipe = Annotated[CutMix | MixUp, Field(discriminator="kind")]


class ClassifierAugment(Augment):
    """Random geometry and colour of training images, and what only classifiers can have."""

    rand_augment: RandAugmentRecipe | None = Field(
        None, description="null: none. After colour jitter and flip; P-NOC takes the defaults."
    )
    mix: MixRecipe | None = Field(
        None, description="null: none. Mixes images and labels of a batch."
    )


class DownSample(Recipe):
    """Leaves out images at random whose classes are all over-represented."""

    kind: Literal["down-sample"]
    ratio: float = Field(
        1.0,
        ge=1,
        description="A class is over-represented with more images than ratio × the median class.",
    )


class Repeat(Recipe):
    """Repeats images of rare classes: repeat-factor sampling (Gupta et al. 2019, LVIS)."""

    kind: Literal["repeat"]
    threshold: float = Field(
        gt=0,
        le=1,
        description="t: a class in a share f < t of the images has its images repeated √(t/f) "
        "times on average; LVIS takes 0.001.",
    )


Balance = Annotated[DownSample | Repeat, Field(discriminator="kind")]
