"""The recipe of a classifier."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wsss.core.recipe import Recipe
from wsss.core.training_recipe import Training
from wsss.nn.recipe import Augment, Backbone


class ClassifierRecipe(Recipe):
    """A multi-label classifier; the defaults are the published ones for VOC (IRN, Puzzle-CAM)."""

    objective: Literal["vanilla"] = Field(
        "vanilla", description="vanilla: the multi-label soft margin loss alone."
    )
    backbone: Backbone = Backbone()
    augment: Augment = Augment()
    training: Training = Training()
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="ε in y ← (1 − ε) y + ε/2; P-NOC takes 0.1."
    )
