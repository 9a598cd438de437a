"""Recipes of the saliency stage: C²AM and C²AM-H, what becomes of their maps, and a network."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe
from wsss.crf.recipe import CrfSettings, PseudoRecipe
from wsss.nn.recipe import Augment, Backbone, Inference, LongSide, ResizedCrop, Square
from wsss.training.recipe import Optimizer, Training


class C2amAugment(Augment):
    """Random geometry and colour, with the defaults of C²AM."""

    crop: int = Field(448, ge=16, description="Side of the square training crop, pixels.")
    resize: LongSide | ResizedCrop | Square = Field(Square(), discriminator="kind")


class C2amOptimizer(Optimizer):
    """The optimizer, with the defaults of C²AM."""

    lr: float = Field(0.001, gt=0, description="Learning rate of pretrained weights.")
    head_multiplier: float = Field(1.0, gt=0, description="Learning-rate factor of new layers.")


class C2amTraining(Training):
    """The schedule, with the defaults of C²AM."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(
        128, ge=2, description="Images whose foregrounds and backgrounds are compared in pairs."
    )
    optimizer: C2amOptimizer = C2amOptimizer()


class Hints(Recipe):
    """Where a CAM is sure of a foreground (C²AM-H)."""

    threshold: float = Field(
        0.4, gt=0, lt=1, description="A place is hinted where any class reaches it; COCO: 0.3."
    )
    weight: float = Field(1.0, gt=0, description="Of the hints' loss, next to C²AM's own.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="ε: the target is 1 − ε/2.")


class C2amTrain(Recipe):
    """What a training job of C²AM or C²AM-H depends on."""

    backbone: Backbone = Backbone()
    augment: C2amAugment = C2amAugment()
    training: C2amTraining = C2amTraining()
    rank_decay: float = Field(
        0.25, ge=0, description="α: the pair of rank r weighs exp(−α·r) in SimMax."
    )
    hints: Hints | None = Field(None, description="null: C²AM. Else C²AM-H.")

    @model_validator(mode="after")
    def _maps_of_a_size(self) -> C2amTrain:
        if self.backbone.name.startswith("vgg"):
            raise ValueError(
                "backbone.name: C²AM joins maps of stride 16 or 8, and the levels of a VGG are of "
                "stride 32 alone; give another network, such as resnet50"
            )
        if self.backbone.output_stride == 32:
            raise ValueError(
                "backbone.output_stride 32 is not for C²AM, which joins the maps of the last two "
                "stages; give 16 or 8"
            )
        crop, stride = self.augment.crop, self.backbone.output_stride
        places = -(-crop // stride)
        if places < 3:
            raise ValueError(
                f"augment.crop {crop} gives maps of {places}×{places} places, with no inside apart "
                f"from a border; give {2 * stride + 1} or more"
            )
        return self


class SaliencyMaps(Inference):
    """How a trained C²AM, or a saliency network, gives maps."""

    map_stride: int = Field(4, ge=1, description="Image pixels per map pixel in the file.")


class NetworkAugment(Augment):
    """Random geometry and colour, with PoolNet's defaults: images as they are, some mirrored."""

    resize: LongSide | ResizedCrop | Square = Field(
        LongSide(min=500, max=500), discriminator="kind", description="VOC's long side is 500."
    )


class NetworkOptimizer(Optimizer):
    """The optimizer, with the defaults of PoolNet."""

    name: Literal["sgd", "adamw"] = Field("adamw", description="The published code runs Adam.")
    lr: float = Field(5e-5, gt=0, description="Learning rate of pretrained weights.")
    weight_decay: float = Field(5e-4, ge=0, description="On weights; biases get none.")
    head_multiplier: float = Field(1.0, gt=0, description="Learning-rate factor of new layers.")
    bias_multiplier: float = Field(1.0, gt=0, description="Learning-rate factor of biases.")
    power: float = Field(
        0.0, ge=0, description="Poly schedule: lr · (1 − step/steps)^power; 0: constant."
    )


class NetworkTraining(Training):
    """The schedule, with the defaults of P-NOC's PoolNet."""

    epochs: int = Field(9, ge=1)
    batch_size: int = Field(1, ge=1)
    accumulate: int = Field(10, ge=1, description="Batches whose mean gradient makes one step.")
    optimizer: NetworkOptimizer = NetworkOptimizer()


class NetworkTrain(Recipe):
    """A saliency network and how it learns from pseudo saliency masks."""

    architecture: Literal["poolnet", "unet"] = "poolnet"
    backbone: Backbone = Backbone(weights="timm:resnet50.a1_in1k", batch_norm="frozen")
    augment: NetworkAugment = NetworkAugment()
    training: NetworkTraining = NetworkTraining()

    @model_validator(mode="after")
    def _trainable(self) -> NetworkTrain:
        if self.backbone.weights is None and self.backbone.batch_norm != "train":
            raise ValueError(
                f"backbone.batch_norm {self.backbone.batch_norm} keeps the statistics of "
                "backbone.weights, which is null; give weights, or batch_norm train"
            )
        norms = self.architecture == "unet" or self.backbone.batch_norm == "train"
        if self.training.batch_size == 1 and norms:
            raise ValueError(
                "training.batch_size 1 has no batch statistics; raise it, or take poolnet with "
                "backbone.batch_norm frozen or eval"
            )
        return self


class PseudoSaliency(PseudoRecipe):
    """Pseudo saliency masks: a threshold on C²AM's maps, then a dense CRF."""

    threshold: float = Field(0.2, gt=0, lt=1, description="Score of the background; C²AM: 0.3.")
    crf: CrfSettings | None = Field(CrfSettings(), description="null: no CRF.")


def _unless_taught(made: Recipe) -> Any:
    """The default of a part that a recipe with a teacher lacks."""
    return Field(default_factory=lambda fields: None if fields.get("teacher") else made)


class SaliencyRecipe(Recipe):
    """C²AM or C²AM-H, and a network that learns from what it finds, if there is one.

    C²AM-H's masks teach a PoolNet by default, with P-NOC's numbers for VOC. Backbones and some
    details are others: docs/stages/saliency.md lists them.
    """

    teacher: str | None = Field(
        None,
        description="Another saliency recipe, whose masks teach this one's network; c2am, maps and "
        "masks are left out then.",
    )
    c2am: C2amTrain | None = _unless_taught(C2amTrain(hints=Hints()))
    maps: SaliencyMaps | None = _unless_taught(SaliencyMaps())
    masks: PseudoSaliency | None = _unless_taught(PseudoSaliency())
    network: NetworkTrain | None = Field(
        NetworkTrain(), description="null: C²AM's own maps are the saliency."
    )
    predict: SaliencyMaps = Field(
        SaliencyMaps(scales=(1.0,), flip=False), description="How the network gives maps."
    )

    @model_validator(mode="after")
    def _one_source_of_masks(self) -> SaliencyRecipe:
        own = [key for key in ("c2am", "maps", "masks") if getattr(self, key) is not None]
        if self.teacher and own:
            raise ValueError(
                f"masks come from teacher '{self.teacher}'; leave {', '.join(own)} out"
            )
        if self.teacher and self.network is None:
            raise ValueError(
                f"teacher '{self.teacher}' teaches nothing; give a network, or leave teacher out"
            )
        if not self.teacher and len(own) < 3:
            raise ValueError("c2am, maps and masks are null only with a teacher; leave them out")
        return self
