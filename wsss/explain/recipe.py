"""Recipes of explanations: a method, what its maps' metrics are, and how boxes are found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsss.attribution.recipe import AnyExplanation
from wsss.core.recipe import Recipe

Percentile = Annotated[float, Field(gt=0, le=100)]


class Curves(Recipe):
    """A class's probability as pixels go and come, highest first (RISE, Petsiuk et al. 2018)."""

    steps: int = Field(
        20,
        ge=1,
        description="Parts of the pixels, which go one after the other; a detection costs 2 "
        "(steps + 1) forward passes of an image.",
    )
    baseline: Literal["rise", "blur", "mean"] = Field(
        "rise",
        description="What is there without the pixels. rise: the mean colour where they go, the "
        "blurred image where they come; blur, mean: that for both.",
    )


class MetricsRecipe(Recipe):
    """What is measured next to the five metrics of masked images."""

    curves: Curves | None = Field(None, description="Deletion and insertion; null: neither.")


class LocalizationRecipe(Recipe):
    """How maps are scored as localization (Choe et al. 2020)."""

    side: int = Field(224, ge=16, description="Maps, masks and boxes are squares of this side.")
    percentile: Percentile = Field(
        100.0,
        description="What thresholds of boxes and of the peak IoU are shares of: 100, the map's "
        "maximum (MaS); lower, that percentile of it (PaS).",
    )
    percentiles: tuple[Percentile, ...] | None = Field(
        None,
        description="In the place of percentile: several. Val takes the percentile with the "
        "highest MaxBoxAccV2 on train.",
    )
    step: float = Field(0.01, gt=0, le=0.5, description="Between thresholds in [0, 1].")
    tolerance: int = Field(15, ge=0, description="Of the pointing game, pixels.")

    @model_validator(mode="after")
    def _some_to_choose_from(self) -> LocalizationRecipe:
        if self.percentiles is None:
            return self
        if "percentile" in self.model_fields_set and self.percentile != 100:
            raise ValueError("percentiles excludes percentile; leave one of them out")
        if len(self.percentiles) < 2 or len(set(self.percentiles)) < len(self.percentiles):
            raise ValueError("percentiles: give two or more, each once; for one set percentile")
        return self


class ExplainRecipe(Recipe):
    """An explaining method, what its maps' metrics are, and how they are scored as localization."""

    maps: AnyExplanation
    metrics: MetricsRecipe = MetricsRecipe()
    localization: LocalizationRecipe = LocalizationRecipe()
