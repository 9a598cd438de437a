"""Recipes of the dense CRF: the settings other stages embed, and the refine command's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe
from wsss.crf.pairwise import Pairwise
from wsss.crf.presets import PRESETS, PresetName


class CrfSettings(Recipe):
    """A dense CRF on hard labels: one of `preset` and `pairwise`; neither means "labels"."""

    preset: PresetName | None = Field(None, description="A published pairwise term, by name.")
    pairwise: Pairwise | None = Field(None, description="A pairwise term of your own.")
    steps: int = Field(10, description="Mean-field iterations; 0 keeps the unary.", ge=0)
    confidence: float = Field(
        0.7, description="Probability that a label is right (gt_prob).", gt=0, lt=1
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return _default_preset(data, "labels")
        return data

    @model_validator(mode="after")
    def _one_pairwise(self) -> CrfSettings:
        if (self.preset is None) == (self.pairwise is None):
            raise ValueError("give either preset or pairwise, the other null or left out")
        return self

    def kernels(self) -> Pairwise:
        """The pairwise term, whichever way it was given."""
        return PRESETS[self.preset] if self.pairwise is None else self.pairwise


class CrfRecipe(CrfSettings):
    """Refining a maps or masks file by a dense CRF.

    Left out, `preset` is "labels" for the unary "labels", else "probabilities"; `confidence` is 0.7
    for "labels", else 1; `threshold` is 0.3 for "labels".
    """

    unary: Literal["labels", "background-power", "scores"] = Field(
        "labels",
        description="Where the unary comes from: hard labels; maps and background (1 - max)^alpha; "
        "or class scores with a background channel.",
    )
    confidence: float = Field(
        0.7,
        description="Probability that a label is right (gt_prob), below 1; or the share of the "
        "scores in a mixture with the uniform distribution, at most 1.",
        gt=0,
        le=1,
    )
    threshold: float | None = Field(
        None, description="Background score for labels from maps (masks need none).", gt=0, lt=1
    )
    threshold_on: Literal["train"] | None = Field(
        None,
        description="train: take the threshold that the evaluation chose on train. Such a file "
        "descends from ground truth and is for evaluation only.",
    )
    alpha: float | None = Field(
        None, description="Exponent of background-power (PSA: 4 and 32; OC-CSE: 6 to 24).", gt=0
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("unary", "labels") != "labels":
            return {"confidence": 1.0} | _default_preset(data, "probabilities")
        data = _default_preset(data, "labels")
        if data.get("threshold") is None and data.get("threshold_on") is None:
            return data | {"threshold": 0.3}
        return data

    @model_validator(mode="after")
    def _unary_fits(self) -> CrfRecipe:
        if self.unary == "labels" and self.confidence == 1:
            raise ValueError('confidence must be below 1 for the unary "labels"')
        if self.threshold is not None and self.threshold_on is not None:
            raise ValueError("give threshold or threshold_on, not both")
        if self.unary != "labels" and (self.threshold, self.threshold_on) != (None, None):
            raise ValueError(f'threshold belongs to the unary "labels", not to "{self.unary}"')
        if self.unary == "background-power" and self.alpha is None:
            raise ValueError('the unary "background-power" needs alpha (PSA: 4 and 32)')
        if self.unary != "background-power" and self.alpha is not None:
            raise ValueError(f'alpha belongs to "background-power", not to "{self.unary}"')
        return self


def _default_preset(data: dict[str, Any], name: PresetName) -> dict[str, Any]:
    if "preset" in data or data.get("pairwise") is not None:
        return data
    return data | {"preset": name}


class PseudoCrf(CrfSettings):
    """One light iteration, as in P-NOC."""

    steps: int = Field(1, ge=0, description="Mean-field iterations; 0 keeps the labels.")
    confidence: float = Field(0.9, gt=0, lt=1, description="Probability that a label is right.")


class PseudoRecipe(Recipe):
    """Pseudo masks: a threshold, then a dense CRF."""

    threshold: float = Field(0.3, gt=0, lt=1, description="Score of the background.")
    crf: PseudoCrf | None = Field(PseudoCrf(), description="null: no CRF.")
