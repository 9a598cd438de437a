"""The recipe of an evaluation: which thresholds are tried, and what an ignored prediction means."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe


class EvaluationRecipe(Recipe):
    """Thresholds are background scores in the units of the maps, which lie in [0, 1]."""

    start: float = Field(0.01, ge=0, le=1, description="Lowest threshold tried.")
    stop: float = Field(0.99, ge=0, le=1, description="Highest threshold tried.")
    step: float = Field(0.01, ge=1e-4, le=1, description="Distance between thresholds.")
    fixed_threshold: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Nobody chose this one on ground truth: its numbers are reported, too.",
    )
    predicted_ignore: Literal["error", "background", "skip"] = Field(
        "error",
        description="A mask predicts 255 where the ground truth has a class: refuse it, count it "
        "as background as IRN does, or skip the pixel and state the share of labelled ones.",
    )

    saliency_background: Literal["threshold", "soft"] = Field(
        "threshold",
        description="CAMs with saliency s as their background. threshold: background where s does "
        "not exceed the threshold, which is chosen on train. soft: 1 − s competes with the CAMs.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> EvaluationRecipe:
        if self.stop < self.start:
            raise ValueError(f"stop {self.stop} is below start {self.start}; exchange them")
        return self

    def thresholds(self) -> list[float]:
        """start, start + step, … up to stop, without the crumbs of binary arithmetic."""
        steps = round((self.stop - self.start) / self.step, 6)
        return [round(self.start + i * self.step, 6) for i in range(int(steps) + 1)]
