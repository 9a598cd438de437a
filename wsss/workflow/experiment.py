"""An experiment: one recipe per stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wsss.core.recipe import Recipe


class Experiment(Recipe):
    """One recipe per stage; later stages may be left out."""

    dataset: str
    classifier: str | None = None
    cam: str | None = None
    saliency: str = Field("none", description="none: affinity labels from the CAM alone.")
    affinity: str | None = None
    segmentation: str | None = None
    explain: str | None = Field(None, description="An explaining method, of the classifier.")
    supervision: Literal["pseudo-masks", "ground-truth"] = Field(
        "pseudo-masks",
        description="ground-truth: the fully supervised upper bound; a classifier gives weights.",
    )
