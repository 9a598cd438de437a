"""Recipe of the segmentation stage: how DeepLabV3+ is trained on masks, and how it predicts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe
from wsss.nn.recipe import Augment, Backbone, Inference
from wsss.training.recipe import Optimizer, Training


class SegmentationOptimizer(Optimizer):
    """The optimizer, with the defaults of this stage."""

    lr: float = Field(0.007, gt=0, description="Learning rate of pretrained weights.")
    weight_decay: float = Field(4e-5, ge=0, description="On weights; biases get none.")


class SegmentationTraining(Training):
    """The schedule, with the defaults of this stage."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(32, ge=1)
    optimizer: SegmentationOptimizer = SegmentationOptimizer()


class TrainRecipe(Recipe):
    """What a training job depends on; the defaults are P-NOC's for VOC."""

    backbone: Backbone = Backbone()
    augment: Augment = Augment()
    training: SegmentationTraining = SegmentationTraining()
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="ε: the target is (1 − ε)·one-hot + ε/classes."
    )

    @model_validator(mode="after")
    def _trainable(self) -> TrainRecipe:
        if self.training.batch_size == 1:
            raise ValueError(
                "training.batch_size 1 is too small: BatchNorm after the image pooling sees one "
                "value per channel; give 2 or more (more training.accumulate needs no memory)"
            )
        if self.backbone.name.startswith("vgg"):
            raise ValueError(
                f"backbone.name {self.backbone.name} is not for DeepLabV3+: VGG gives the maps of "
                "every stage at stride 32 only, DeepLabV3+ needs 8 or 16; take a ResNet"
            )
        if self.backbone.output_stride == 32:
            raise ValueError(
                "backbone.output_stride 32 is not for DeepLabV3+, whose dilations are made for 8 "
                "and 16; give 16"
            )
        return self


class PredictRecipe(Inference):
    """What a prediction job depends on, next to the model."""

    map_stride: int = Field(4, ge=1, description="Pixels between the stored scores.")
    min_score: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="A class that stays below it everywhere in an image is not stored; "
        "the background always is.",
    )


class SegmentationRecipe(Recipe):
    """A segmentation network; what masks it learns from is the experiment's choice."""

    architecture: Literal["deeplabv3plus"] = "deeplabv3plus"
    train: TrainRecipe = TrainRecipe()
    predict: PredictRecipe = PredictRecipe()
