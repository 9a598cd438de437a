"""What an evaluation's JSON holds: three stages write it, and readers check it by this model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict

FORMAT = "wsss evaluation"
VERSION = 1

Fraction = float | None  # a fraction in [0, 1], null where it is undefined


@dataclass(frozen=True)
class Having:
    """Keys that a reader finds in a mapping that is not null."""

    keys: tuple[str, ...]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Evaluated(_Part):
    """What was evaluated: its kind, its files, and the recipe that made them with its sources."""

    kind: str
    files: list[str] = []
    made_by: dict[str, Any] | None = None


class Threshold(_Part):
    """The background threshold, how it was chosen, and the file it was taken from."""

    value: float | None
    how: str
    source: str | None = None


class Fixed(_Part):
    """Numbers at the threshold that nobody tuned."""

    threshold: float
    metrics: Annotated[dict[str, Fraction], Having(("miou",))]


class Curve(_Part):
    """Numbers threshold by threshold."""

    thresholds: list[float]
    miou: list[Fraction]
    miou_foreground: list[Fraction] = []
    fp: list[Fraction]
    fn: list[Fraction]
    precision: list[Fraction] = []
    recall: list[Fraction] = []


class Evaluation(_Part):
    """An evaluation, with its keys in the order of the file.

    Readers rely on the keys that have no default here, and a file that lacks others is read too.
    """

    evaluated: Evaluated
    ground_truth: str = ""
    split: str | None
    images: int
    images_in_file: int = 0
    pairs: int = 0
    detections: int = 0
    classes: list[str] = []
    classes_without_image: list[str] = []
    threshold: Threshold
    tta: Annotated[dict[str, Any] | None, Having(("scales", "flip"))]
    crf: Annotated[dict[str, Any] | None, Having(("preset", "steps"))]
    image_labels: str | None
    seed: int | None = None
    commit: str | None
    recipe: Annotated[dict[str, Any] | None, Having(("predicted_ignore",))]
    localization: dict[str, Any] = {}
    metrics: dict[str, Fraction]
    every: dict[str, dict[str, Fraction]] = {}
    thresholds: dict[str, Any] = {}
    peak_iou_mean: Fraction = None
    fixed: Fixed | None
    per_class: list[dict[str, Any]] = []
    curve: Curve | None
    percentile: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    saliency: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """What the file holds, JSON-able. ValueError where a key of its kind was not given."""
        given, kind = self.model_fields_set, kind_of_evaluated(self.evaluated.kind)
        others = {key for keys in ALWAYS.values() for key in keys} - set(ALWAYS[kind])
        missing = set(type(self).model_fields) - given - others - {*SOMETIMES}
        if missing:
            raise ValueError(f"an evaluation of {kind} needs {', '.join(sorted(missing))}")
        values = self.model_dump()
        kept = {name: value for name, value in values.items() if name in given}
        return {"format": FORMAT, "version": VERSION} | kept


# Keys of one kind of evaluation, and those that it has where its recipe or inputs ask for them.
ALWAYS = {
    "masks": ("images_in_file", "per_class"),
    "classifier": ("classes_without_image", "per_class"),
    "explanations": ("detections", "every"),
    "localization": ("pairs", "localization", "thresholds", "peak_iou_mean", "percentile"),
}
SOMETIMES = ("curves", "saliency")


def kind_of_evaluated(kind: Any) -> str:
    """The kind of its metrics (wsss/core/metrics.py): "masks" for whatever ends as masks."""
    return kind if isinstance(kind, str) and kind in ALWAYS else "masks"


def required_keys(model: type[BaseModel] = Evaluation) -> Iterator[str]:
    """The keys that readers rely on, as paths such as "threshold.how"."""
    for name, field in model.model_fields.items():
        if field.is_required():
            inside = [key for m in field.metadata if isinstance(m, Having) for key in m.keys]
            for part in (field.annotation, *get_args(field.annotation)):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    inside += required_keys(part)
            yield from [f"{name}.{key}" for key in inside] or [name]
