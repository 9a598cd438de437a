"""Recipes of tables and galleries."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from wsss.core.files.evaluation_file import CURVE_METRICS, METRICS_OF
from wsss.core.recipe import Recipe

CLASSIFIER = "classifier"  # the column of image-level scores, from model.<split>.eval.json
# Columns that show no masks: what their evaluations' kind is, and the metric shown unless named.
WITHOUT_MASKS = {
    CLASSIFIER: "classifier",
    "explain": "explanations",
    "localization": "localization",
}
_SHOWN = {CLASSIFIER: "f1", "explain": "f1_of_ar_ado", "localization": "max_box_acc_v2"}
# Columns of foreground maps: they have thresholds, chosen on train, and curves.
SALIENT_MAPS = ("c2am", "saliency")
THRESHOLDED = ("cam", *SALIENT_MAPS, "cam+saliency", "walk", "explained")

Metric = Literal[
    "miou",
    "fixed_miou",
    "miou_foreground",
    "fp",
    "fn",
    "precision",
    "recall",
    "f1",
    "pixel_accuracy",
    "mae",
    "f_beta",
    "s_measure",
    "labelled",
]
_ONLY_OF = {  # metrics that some files have
    "fixed_miou": THRESHOLDED,
    **dict.fromkeys(("mae", "f_beta", "s_measure"), SALIENT_MAPS),
    "labelled": ("labels",),
}


class Column(NamedTuple):
    """What a column of figures shows: an evaluated file ("cam.crf-labels") and its metric."""

    file: str
    metric: str

    def metrics(self) -> tuple[str, ...]:
        """The metrics that the evaluation of such a file has."""
        if self.file in WITHOUT_MASKS:
            curves = CURVE_METRICS if self.file == "explain" else ()
            return (*METRICS_OF[WITHOUT_MASKS[self.file]], *curves)
        every = get_args(Metric)
        return tuple(m for m in every if self.file in _ONLY_OF.get(m, (self.file,)))


class TableRecipe(Recipe):
    """Rows are experiments, columns are evaluated files or, for seconds, stages."""

    title: str = Field("", description="Heading of the table.")
    experiments: list[str] = Field(min_length=1, description="Rows, in this order.")
    columns: list[str] = Field(
        min_length=1,
        description="Evaluated files such as cam, cam.crf-labels, c2am, c2am.masks, saliency, "
        "cam+saliency, labels, walk, pseudo, prediction, classifier, explained, explain or "
        "localization; each may name a metric of its own, as in cam:fp. For kind seconds the names "
        "of stages.",
    )
    split: Literal["train", "val"] = Field(
        "val", description="The split whose evaluations are shown."
    )
    metric: Metric = Field(
        "miou",
        description="Of the columns of masks and maps that name none. fixed_miou: at the "
        "threshold nobody tuned. fp, fn: over- and under-activation of the foreground. precision, "
        "recall, f1: macro means. mae, f_beta, s_measure: of c2am and saliency. labelled: of "
        "labels, the share of pixels that have one.",
    )
    kind: Literal["metrics", "seconds"] = Field(
        "metrics", description="seconds: run time of each stage, and its peak memory."
    )
    baseline: str | None = Field(
        None, description="Experiment to which the other rows' differences are shown."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TableRecipe:
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
        default = _SHOWN.get(file, self.metric)
        return Column(file, metric if colon else default)


class GalleryRecipe(Recipe):
    """A picture with one row an image."""

    images: int = Field(6, ge=1, le=100, description="Number of rows.")
    seed: int = Field(0, ge=0, description="Seed of the choice of images.")
    split: Literal["train", "val"] = Field("val", description="The split whose images are shown.")
    alpha: float = Field(0.6, gt=0, le=1, description="Opacity of masks and of the highest maps.")
    select: Literal["spread", "worst", "best"] = Field(
        "spread",
        description="spread: a draw in which every class gets its turn. worst, best: by the mIoU "
        "of the last column on each image, which needs ground truth.",
    )
