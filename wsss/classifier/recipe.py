"""Recipes of classifiers: one model an objective, over what all of them share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsss.classifier.data_recipe import Balance, ClassifierAugment
from wsss.core.recipe import Recipe, parse_json
from wsss.nn.head_recipe import Head
from wsss.nn.recipe import Backbone
from wsss.training.recipe import Training

SIDES = {4: 2, 9: 3, 16: 4}


class Ramp(Recipe):
    """A weight that grows or falls linearly with the share of the training that is done."""

    start: float = Field(ge=0)
    end: float = Field(ge=0)
    begin: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the training before which its terms are left out, and cost nothing; "
        "published: 0. Short trainings need class maps first, and something to ask of them then.",
    )
    until: float = Field(
        1.0, ge=0, le=1, description="Share of the training after which it stays at `end`."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Ramp:
        if self.begin > self.until:
            raise ValueError(f"begin {self.begin:g} is after until {self.until:g}; swap them")
        return self

    def has_begun(self, done: float | int) -> bool:
        """Whether its terms are computed when `done` in [0, 1] of the training is over."""
        return done >= self.begin

    def at(self, done: float | int) -> float:
        """Its value when `done` in [0, 1] of the training is over; 0 before it has begun."""
        if not self.has_begun(done):
            return 0.0
        span = self.until - self.begin
        share = 1.0 if span == 0 else min(1.0, (done - self.begin) / span)
        return self.start + (self.end - self.start) * share


class Erasing(Recipe):
    """Class-specific erasing against an ordinary classifier (OC-CSE, Kweon et al. 2021)."""

    weight: Ramp = Field(Ramp(start=0.3, end=1.0), description="λ of the erasing loss.")
    sampling: Literal["random", "balanced", "least-chosen", "focal"] = Field(
        "random",
        description="How the erased class r is drawn from an image's labels. balanced: p ∝ 1 / "
        "times drawn; focal: p ∝ how wrong the ordinary classifier is about erased images.",
    )
    normalise: Literal["batch", "image"] = Field(
        "batch",
        description="The mask ψ is divided by its maximum over the whole batch (published) or "
        "over each image.",
    )
    order: Literal["relu-upsample", "upsample-relu"] = Field(
        "relu-upsample",
        description="Of the soft mask: the first in P-NOC's papers, the second in OC-CSE's code.",
    )


class OcCseErasing(Erasing):
    """The same in the order of OC-CSE's own code."""

    order: Literal["relu-upsample", "upsample-relu"] = Field(
        "upsample-relu", description="Of the soft mask."
    )


class Puzzle(Recipe):
    """Tiles whose merged class maps should equal the whole image's (Puzzle-CAM, Jo & Yu 2021)."""

    tiles: Literal[4, 9, 16] = 4
    weight: Ramp = Field(Ramp(start=0.0, end=4.0, until=0.5), description="α of the re-merge loss.")


class NotSoOrdinary(Recipe):
    """The second player of P-NOC: it learns to find the class in what was left."""

    threshold: float = Field(
        0.2, gt=0, lt=1, description="δ: pixels whose ψ is above it are erased for this player."
    )
    weight: Ramp = Field(Ramp(start=0.0, end=1.0), description="λ of this player's loss.")
    lr_multiplier: float = Field(1.0, gt=0, description="Learning-rate factor of this player.")
    leak_noc_gradient: bool = Field(
        False,
        description="true: the first player's loss also moves the second player, as the published "
        "code does and the published formula does not.",
    )


class ClassifierRecipe(Recipe):
    """What every objective shares; the defaults are published for VOC (IRN, Puzzle-CAM)."""

    backbone: Backbone = Backbone()
    head: Head = Head()
    augment: ClassifierAugment = ClassifierAugment()
    training: Training = Training()
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="ε in y ← (1 − ε) y + ε/2; P-NOC takes 0.1."
    )
    class_weights: Literal["none", "inverse-frequency"] = Field(
        "none", description="Weight of each class in the classification loss; its mean is 1."
    )
    balance: Annotated[Balance | None, Field(discriminator="kind")] = Field(
        None, description="Which images an epoch sees; null: all of them."
    )
    unlabelled: Literal["skip", "negative"] = Field(
        "negative",
        description="Images without any label: negatives of every class, or left out as the "
        "published code does (there, data sets hold none).",
    )
    keep: Literal["last", "best-val-map"] = Field(
        "last",
        description="The weights of the last epoch, or of the epoch with the best mean average "
        "precision on the image-level labels of val.",
    )

    @property
    def compares_images(self) -> bool:
        """Whether an image's part in the loss depends on the others of its batch."""
        erase = getattr(self, "erase", None)
        by_maximum = erase is not None and erase.normalise == "batch"
        return by_maximum or self.augment.mix is not None

    @model_validator(mode="after")
    def _check_consistency(self) -> ClassifierRecipe:
        training = self.training
        if self.backbone.weights == "classifier":
            raise ValueError(
                "backbone.weights 'classifier' would be this one itself; give a file or 'timm:…'"
            )
        if training.batch_size == 1 and self.backbone.batch_norm == "train":
            raise ValueError(
                "training.batch_size 1 has no batch statistics; raise it, or take "
                "backbone.batch_norm frozen or eval (also for a backbone without BatchNorm)"
            )
        puzzle, erase = getattr(self, "puzzle", None), getattr(self, "erase", None)
        if erase is not None and self.augment.mix is not None:
            raise ValueError("augment.mix leaves no class to erase in a mixed image; take it out")
        if puzzle is not None:
            side = SIDES[puzzle.tiles]
            step = side * self.backbone.output_stride
            if self.augment.crop % step:
                below = max(step, self.augment.crop // step * step)
                raise ValueError(
                    f"augment.crop {self.augment.crop}: {side}×{side} tiles at output stride "
                    f"{self.backbone.output_stride} need a multiple of {step}, such as {below}"
                )
        return self


class VanillaRecipe(ClassifierRecipe):
    """The multi-label soft margin loss alone."""

    objective: Literal["vanilla"] = "vanilla"


class OcCseRecipe(ClassifierRecipe):
    """Erasing against a fixed ordinary classifier (Kweon et al. 2021)."""

    objective: Literal["oc-cse"] = "oc-cse"
    ordinary: str = Field(description="Name of the classifier recipe that judges what is left.")
    erase: OcCseErasing = OcCseErasing()


class PuzzleRecipe(ClassifierRecipe):
    """Puzzle-CAM (Jo & Yu 2021)."""

    objective: Literal["puzzle"] = "puzzle"
    puzzle: Puzzle = Puzzle()


class POcRecipe(ClassifierRecipe):
    """Puzzle and erasing against a fixed ordinary classifier (David et al. 2023)."""

    objective: Literal["p-oc"] = "p-oc"
    ordinary: str = Field(description="Name of the classifier recipe that judges what is left.")
    puzzle: Puzzle = Puzzle()
    erase: Erasing = Erasing()


class PNocRecipe(ClassifierRecipe):
    """P-OC whose second classifier is trained too (P-NOC, David et al. 2023)."""

    objective: Literal["p-noc"] = "p-noc"
    ordinary: str = Field(
        description="Name of the classifier recipe that the not-so-ordinary classifier starts from."
    )
    puzzle: Puzzle = Puzzle()
    erase: Erasing = Erasing()
    noc: NotSoOrdinary = NotSoOrdinary()


AnyClassifier = Annotated[
    VanillaRecipe | OcCseRecipe | PuzzleRecipe | POcRecipe | PNocRecipe,
    Field(discriminator="objective"),
]


def parse_classifier(text: str) -> ClassifierRecipe:
    """The recipe of the objective that JSON names; UserError with one line per mistake."""
    return parse_json(text, AnyClassifier)
