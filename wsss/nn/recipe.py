"""Recipes of backbones, of training-time augmentation, and of averages over scales."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe

WIDE_RESNET38 = "wide_resnet38"
Triple = tuple[float, float, float]
Scale = Annotated[float, Field(gt=0, le=8)]
Images = Literal["all", "with-masks"]  # with-masks: only images that evaluation has masks of


class MultiScale(Recipe):
    """Maps averaged over sizes of the image, and over the image and its mirror image."""

    scales: tuple[Scale, ...] = Field(
        (0.5, 1.0, 1.5, 2.0), min_length=1, description="Factors of the image's size."
    )
    flip: bool = Field(True, description="Also average over the mirrored image.")


class Inference(MultiScale):
    """How a trained network gives maps of whole images."""

    precision: Literal["32", "bf16"] = Field(
        "32", description="bf16: autocast to bfloat16, where the device has instructions for it."
    )


class Backbone(Recipe):
    """A network without its head: timm's, or WideResNet38-d."""

    name: str = Field(
        "resnet50", description="A timm model with feature maps, or 'wide_resnet38' (stride 8)."
    )
    weights: str | None = Field(
        None,
        description="null: random. A .safetensors or .pth file in timm's naming (${NAME} is taken "
        "from the environment), 'timm:<model>' (downloaded once by the rule weights_fetch), or "
        "'classifier': the backbone of the experiment's trained classifier. wide_resnet38: a file "
        "in PSA's naming, or MXNet's .params.",
    )
    output_stride: Literal[8, 16, 32] = 16
    batch_norm: Literal["train", "frozen", "eval"] = Field(
        "train",
        description="frozen: running statistics, affine parameters not trained. eval: running "
        "statistics, affine parameters trained (FixedBatchNorm of IRN and Puzzle-CAM).",
    )
    frozen_stages: int = Field(
        0,
        ge=0,
        description="How many of the first stages are not trained, in timm's feature_info: of a "
        "ResNet 1 is the stem, 2 the stem and layer1. Their BatchNorm uses running statistics.",
    )
    mean: Triple = Field((0.485, 0.456, 0.406), description="Of RGB in [0, 1].")
    std: Triple = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _stride_of_wide_resnet38(self) -> Backbone:
        if self.name == WIDE_RESNET38 and self.output_stride != 8:
            raise ValueError(
                f"{WIDE_RESNET38} gives stride 8, not {self.output_stride}; set output_stride: 8"
            )
        return self


class LongSide(Recipe):
    """Resize the long side to U(min, max), then crop or pad at a random offset (PSA, IRN)."""

    kind: Literal["long-side"] = "long-side"
    min: int = Field(320, ge=8)
    max: int = Field(640, ge=8)

    @model_validator(mode="after")
    def _check_sides(self) -> LongSide:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; swap them")
        return self


class ResizedCrop(Recipe):
    """Crop a share of the area with an aspect ratio in [3/4, 4/3] and resize it (Inception)."""

    kind: Literal["resized-crop"] = "resized-crop"
    min_area: float = Field(0.35, gt=0, le=1)


class Square(Recipe):
    """Resize to a square whatever the shape, then crop or pad at a random offset (C²AM)."""

    kind: Literal["square"] = "square"
    side: int = Field(512, ge=8)


class Augment(Recipe):
    """Random geometry and colour of training images."""

    crop: int = Field(512, ge=16, description="Side of the square training crop, pixels.")
    resize: Annotated[LongSide | ResizedCrop | Square, Field(discriminator="kind")] = LongSide()
    flip: bool = True
    colour_jitter: bool = Field(
        False, description="Brightness, contrast and saturation ±0.3, hue ±0.1."
    )
