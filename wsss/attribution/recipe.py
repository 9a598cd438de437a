"""Recipes of explaining methods: a method, its options, and what is averaged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe
from wsss.nn.recipe import Images, MultiScale


class Smooth(Recipe):
    """Raw maps averaged over the image and copies of it with Gaussian noise (SmoothGrad)."""

    repetitions: int = Field(20, ge=2, description="The image itself is one of them.")
    sigma: float = Field(0.1, gt=0, description="Of the noise, in units of normalised pixels.")


class Explanation(Recipe):
    """What every method has: which classes, at which size, and what is averaged."""

    classes: Literal["detected", "given"] = Field(
        "detected",
        description="detected: those the classifier sees, right or wrong. given: the image's "
        "labels.",
    )
    detection: float = Field(
        0.5, gt=0, lt=1, description="Probability above which a class is detected."
    )
    images: Images = Field(
        "all", description="with-masks: only images that evaluation has masks of."
    )
    side: int | None = Field(
        224,
        ge=16,
        description="Images are squares of this side, their shape not kept; null: as they are, one "
        "at a time.",
    )
    batch_size: int = Field(16, ge=1, description="Images at a time, where they have one size.")
    tta: MultiScale | None = None
    smooth: Smooth | None = None


class Plain(Explanation):
    """Methods without options of their own."""

    method: Literal[
        "gradients", "grad-cam", "grad-cam++", "minmax-cam", "minmax-grad-cam", "d-minmax-grad-cam"
    ]


class Cam(Explanation):
    """Class activation maps (Zhou et al. 2016)."""

    method: Literal["cam"]
    clamp_negative: bool = Field(
        False, description="Without negative weights (NWC, Bae et al. 2020)."
    )


class DMinMaxCam(Explanation):
    """Decomposed MinMax-CAM (David et al. 2022)."""

    method: Literal["d-minmax-cam"]
    form: Literal["code", "formula"] = Field(
        "code", description="The published code and the published formula differ."
    )


class ScoreCam(Explanation):
    """Score-CAM (Wang et al. 2020)."""

    method: Literal["score-cam"]
    channels: int = Field(
        256, ge=1, description="Channels that mask the image: the ones that vary most in space."
    )
    weight: Literal["sigmoid", "logit", "softmax"] = Field(
        "sigmoid", description="What of the masked image's score weighs a channel."
    )


class FullGrad(Explanation):
    """Full-Grad (Srinivas and Fleuret 2019)."""

    method: Literal["full-grad"]
    strict: bool = Field(True, description="Refuse networks for which it is not complete.")


class Lrp(Explanation):
    """Layer-wise relevance propagation."""

    method: Literal["lrp"]
    composite: Literal["epsilon", "epsilon-plus", "epsilon-gamma-box", "alpha2-beta1"] = Field(
        "epsilon-plus", description="Which rule is for which layer."
    )
    epsilon: float = Field(1e-6, ge=0, description="ε of linear layers, and of all in `epsilon`.")
    gamma: float = Field(0.25, ge=0, description="γ of convolutions in `epsilon-gamma-box`.")

    @model_validator(mode="after")
    def _check_smooth(self) -> Lrp:
        if self.smooth is not None and self.composite == "epsilon-gamma-box":
            raise ValueError(
                "smooth: noise leaves the range of pixels that epsilon-gamma-box counts on; take "
                "another composite, or leave smooth out"
            )
        return self


AnyExplanation = Annotated[
    Plain | Cam | DMinMaxCam | ScoreCam | FullGrad | Lrp, Field(discriminator="method")
]
