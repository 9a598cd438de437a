"""Recipes of the affinity stage: from class maps to pseudo masks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe
from wsss.crf.recipe import CrfSettings, PseudoRecipe
from wsss.nn.recipe import Augment, Backbone
from wsss.training.recipe import Optimizer, Training

STRIDE = 4  # of the boundary map and of the random walk's grid


class LabelsRecipe(Recipe):
    """Affinity labels: what is surely a class, surely background, or uncertain (IRN)."""

    foreground: float = Field(
        0.30, gt=0, lt=1, description="Background score against which a class is sure."
    )
    background: float = Field(
        0.05, gt=0, lt=1, description="Background score against which background is sure."
    )
    salient: float = Field(
        0.10,
        gt=0,
        lt=1,
        description="With saliency, in place of `background`: score above which a pixel is "
        "salient. COCO: 0.8.",
    )
    crf: CrfSettings = Field(CrfSettings(), description="Run on either labelling.")

    @model_validator(mode="after")
    def _check_scores(self) -> LabelsRecipe:
        if self.background >= self.foreground:
            raise ValueError(
                f"background {self.background:g} is not below foreground {self.foreground:g}; "
                "lower background or raise foreground"
            )
        return self


class EdgeOptimizer(Optimizer):
    """All trained layers are new: one learning rate, as published (lr 0.1 on the edge head)."""

    head_multiplier: float = Field(
        1.0, gt=0, description="Learning-rate factor of new layers: here, of all that is trained."
    )
    bias_multiplier: float = Field(1.0, gt=0, description="Learning-rate factor of biases.")


class EdgeTraining(Training):
    """Schedule of the boundary network."""

    epochs: int = Field(3, ge=1)
    batch_size: int = Field(32, ge=1)
    optimizer: EdgeOptimizer = EdgeOptimizer()


class NetworkRecipe(Recipe):
    """A network that finds class boundaries, on a frozen backbone."""

    architecture: Literal["boundary"] = Field(
        "boundary",
        description="boundary: the boundary branch of IRN in Puzzle-CAM's variant, BoundaryNet.",
    )
    backbone: Backbone = Field(
        Backbone(weights="classifier"),
        description="Frozen: its weights are never trained, so they must be given.",
    )
    augment: Augment = Augment()
    training: EdgeTraining = EdgeTraining()
    radius: int = Field(
        10, ge=2, description="Pairs less than this far apart teach, in steps of 4 pixels."
    )

    @model_validator(mode="after")
    def _teaches(self) -> NetworkRecipe:
        if self.backbone.weights is None:
            raise ValueError(
                "backbone.weights is null, but the backbone is frozen: its features would be "
                "random; give 'classifier', 'timm:<model>' or a file"
            )
        side = (self.augment.crop - 1) // STRIDE + 1
        if side < 2 * self.radius - 1:
            raise ValueError(
                f"augment.crop {self.augment.crop} gives a {side}x{side} boundary map, without a "
                f"pair for radius {self.radius}; raise the crop to "
                f"{STRIDE * (2 * self.radius - 2) + 1} or lower the radius"
            )
        return self


class WalkRecipe(Recipe):
    """Random walk over the maps with the affinities of the boundary."""

    beta: float = Field(10.0, gt=0, description="Power of the affinities.")
    steps: int = Field(256, ge=0, description="Steps of the walk; the papers' 2^8.")
    radius: int = Field(5, ge=2, description="Steps go less far than this, in units of 4 pixels.")
    flip: bool = Field(True, description="Average with the boundary of the mirrored image.")


class RandomWalkRecipe(Recipe):
    """Affinity labels → boundary network → random walk → pseudo masks."""

    method: Literal["random-walk"] = "random-walk"
    labels: LabelsRecipe = LabelsRecipe()
    network: NetworkRecipe = NetworkRecipe()
    walk: WalkRecipe = WalkRecipe()
    pseudo: PseudoRecipe = PseudoRecipe()


class DirectRecipe(Recipe):
    """Pseudo masks from the class maps as they are: the ablation without affinities."""

    method: Literal["direct"] = "direct"
    pseudo: PseudoRecipe = PseudoRecipe()


AffinityRecipe = Annotated[RandomWalkRecipe | DirectRecipe, Field(discriminator="method")]
