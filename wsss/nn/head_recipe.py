"""Recipe of the classification head: its kernel and its pooling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wsss.core.recipe import Recipe


class PlainKernel(Recipe):
    """The weights as they are."""

    kind: Literal["plain"] = "plain"


class KurKernel(Recipe):
    """Kernel usage regularization (David et al. 2022): classes compete for each feature."""

    kind: Literal["kur"] = "kur"
    alpha: float = Field(
        1.0,
        gt=0,
        description="α in W̃ = α · softmax over classes(W) · W; 1 as published, the number of "
        "classes makes up for the softmax at the start.",
    )


class GapPooling(Recipe):
    """Global average pooling."""

    kind: Literal["gap"] = "gap"


class TapPooling(Recipe):
    """Thresholded average pooling (Bae et al. 2020)."""

    kind: Literal["tap"] = "tap"
    threshold: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="θ: a position counts where the feature is above θ times its maximum.",
    )


class Head(Recipe):
    """A 1×1 convolution without bias and a pooling."""

    kernel: Annotated[PlainKernel | KurKernel, Field(discriminator="kind")] = PlainKernel()
    pooling: Annotated[GapPooling | TapPooling, Field(discriminator="kind")] = GapPooling()
