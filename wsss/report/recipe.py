"""Recipes of tables and galleries."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from wsss.core.metrics import METRICS
from wsss.core.outputs import MASKS, OUTPUTS
from wsss.core.recipe import Recipe

MaskMetric = Literal[tuple(METRICS[MASKS])]


class Column(NamedTuple):
    """What a column shows: a file that was evaluated ("cam.crf-labels"), and its metric."""

    file: str
    metric: str


class TableRecipe(Recipe):
    """Rows are experiments, columns are evaluated files or, for seconds, stages."""

    title: str = Field("", description="Heading of the table.")
    experiments: list[str] = Field(min_length=1, description="Rows, in this order.")
    columns: list[str] = Field(
        min_length=1,
        description=f"Evaluated files: {', '.join(OUTPUTS)}. Each may name a dense CRF and a "
        "metric of its own, as in cam.crf-labels and cam:fp. For kind seconds, names of stages.",
    )
    split: Literal["train", "val"] = Field(
        "val", description="The split whose evaluations are shown."
    )
    metric: MaskMetric = Field(
        "miou",
        description="Of the columns of masks and maps that name none. "
        + " ".join(f"{name}: {metric.note}." for name, metric in METRICS[MASKS].items()),
    )
    kind: Literal["metrics", "seconds"] = Field(
        "metrics", description="seconds: run time of each stage, and its peak memory."
    )
    baseline: str | None = Field(
        None, description="Experiment to which the other rows' differences are shown."
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> TableRecipe:
        columns = [self.column(c) for c in self.columns]
        for name, listed in (("experiments", self.experiments), ("columns", columns)):
            if len(set(listed)) < len(listed):
                raise ValueError(f"{name}: one is named twice; name each once")
        if self.baseline is not None and self.baseline not in self.experiments:
            raise ValueError(f"baseline '{self.baseline}' is none of the experiments; add it there")
        return self

    def column(self, name: str) -> Column:
        """A column's file and metric: "cam" shows the table's metric, "cam:fp" its own."""
        file, colon, metric = name.partition(":")
        own = OUTPUTS[file].metric if file in OUTPUTS else None
        return Column(file, metric if colon else own or self.metric)


class GalleryRecipe(Recipe):
    """A picture with one row per image."""

    images: int = Field(6, ge=1, le=100, description="Number of rows.")
    seed: int = Field(0, ge=0, description="Seed of the choice of images.")
    split: Literal["train", "val"] = Field("val", description="The split whose images are shown.")
    alpha: float = Field(0.6, gt=0, le=1, description="Opacity of masks and of the highest maps.")
    select: Literal["spread", "worst", "best"] = Field(
        "spread",
        description="spread: a draw in which every class gets its turn. worst, best: by the mIoU "
        "of the last column on each image, which needs ground truth.",
    )
