"""The evaluation JSON: numbers, and what a reader must know to compare them with others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import Curve as CurveNumbers
from wsss.core.files.evaluation_document import Evaluated, Evaluation, Fixed, Threshold
from wsss.core.files.evaluation_file import number_or_null
from wsss.core.files.store import Header
from wsss.core.log import log
from wsss.core.software import commit
from wsss.evaluation.measures import Metrics, metrics
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.evaluation.thresholds import Curve


def document(
    *,
    kind: str,
    files: Sequence[Path],
    ground_truth: Path,
    header: Header | None,
    split: str | None,
    classes: tuple[str, ...],
    images: int,
    images_in_file: int,
    threshold: Threshold,
    confusion: Int64[np.ndarray, "c c"],
    recipe: EvaluationRecipe,
    seed: int | None,
    fixed: Fixed | None = None,
    curve: CurveNumbers | None = None,
    image_labels: str | None = None,
    more_metrics: Mapping[str, float] | None = None,
    saliency: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON document of one evaluation; fractions in [0, 1], null for what is undefined.

    kind: "maps", "scores" or "masks". header: of the evaluated file; None for PNG masks. classes
    begin with the background. image_labels: None for what the file says of them. more_metrics:
    next to the confusion matrix's. saliency: what the background was, where it was some.

    Raises UserError if no pixel has ground truth.
    """
    if not confusion.any():
        raise UserError(f"{ground_truth}: every pixel is 255 (ignored); give masks with class ids")
    if not confusion[1:].any():
        log.warning(
            "%s: no class but the background occurs; are objects stored as 255, which is ignored?",
            ground_truth,
        )
    made_by = _made_by(header)
    result = metrics(confusion)
    evaluation = Evaluation(
        evaluated=Evaluated(
            kind=kind,
            files=[str(path) for path in files],
            made_by=made_by[0] if made_by else None,
        ),
        ground_truth=str(ground_truth),
        split=split,
        images=images,
        images_in_file=images_in_file,
        classes=list(classes),
        threshold=threshold,
        tta=_statement(made_by, "tta", ("scales", "flip")),
        crf=_crf(made_by),
        image_labels=image_labels or _statement(made_by, "image_labels", ()),
        seed=seed,
        commit=commit(),
        recipe=json.loads(recipe.to_json()),
        metrics=numbers(result) | dict(more_metrics or {}),
        fixed=fixed,
        per_class=_per_class(result, confusion, classes),
        curve=curve,
        **({} if saliency is None else {"saliency": saliency}),
    )
    return evaluation.document()


def numbers(result: Metrics) -> dict[str, float | None]:
    """The summary numbers with None for NaN, which JSON does not know."""
    return {name: number_or_null(value) for name, value in result.summary().items()}


def curve_numbers(curve: Curve) -> CurveNumbers:
    """Threshold by threshold: miou, and the foreground's fp, fn and macro precision and recall."""
    points = [numbers(metrics(confusion)) for confusion in curve.confusion]
    names = ("miou", "miou_foreground", "fp", "fn", "precision", "recall")
    values = {name: [point[name] for point in points] for name in names}
    return CurveNumbers(thresholds=curve.thresholds.tolist(), **values)


def mask_threshold(header: Header | None) -> Threshold:
    """The threshold that made masks out of maps, if their recipe or their source's has one."""
    for about in _made_by(header):
        if about["extra"].get("source", {}).get("kind") == "masks":
            continue  # made from masks: a threshold in this recipe was of no use
        value = about["recipe"].get("threshold")
        if isinstance(value, int | float):
            source = about["extra"].get("threshold_from")
            how = "fixed by recipe" if source is None else "chosen on train"
            return Threshold(value=float(value), how=how, source=source)
    return Threshold(value=None, how="none: masks")


def _made_by(header: Header | None) -> list[dict[str, Any]]:
    """Recipe and `extra` of the file, of its source (`extra["source"]`), of that one's source, …"""
    if header is None:
        return []
    chain = [{"recipe": json.loads(header.recipe), "extra": header.extra or {}}]
    while "source" in chain[-1]["extra"]:
        chain.append({"recipe": {}, "extra": {}} | chain[-1]["extra"]["source"])
    return chain


def _statement(made_by: list[dict[str, Any]], name: str, keys: tuple[str, ...]) -> Any:
    """What the nearest file in the chain says of `name`: in `extra`, or by its recipe's `keys`."""
    for about in made_by:
        if name in about["extra"]:
            return about["extra"][name]
        if keys and all(key in about["recipe"] for key in keys):
            return {key: about["recipe"][key] for key in keys}
    return None


def _crf(made_by: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The CRF of the chain; `preset` is null for a pairwise term of one's own, then `pairwise`."""
    stated = _statement(made_by, "crf", ("preset", "pairwise", "steps", "confidence"))
    if stated is None:
        return None
    own = {"pairwise": stated["pairwise"]} if stated.get("pairwise") is not None else {}
    return {key: stated.get(key) for key in ("preset", "steps", "confidence")} | own


def _per_class(
    result: Metrics, confusion: Int64[np.ndarray, "c c"], classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    names = ("iou", "fp", "fn", "precision", "recall", "f1")
    return [
        {"id": i, "class": name}
        | {key: number_or_null(float(getattr(result, key)[i])) for key in names}
        | {
            "ground_truth_pixels": int(confusion[i].sum()),
            "predicted_pixels": int(confusion[:, i].sum()),
        }
        for i, name in enumerate(classes)
    ]


def one_line(read: dict[str, Any]) -> str:
    """mIoU and threshold, for the log."""
    threshold = read["threshold"]
    at = "" if threshold["value"] is None else f" at threshold {threshold['value']:g}"
    miou = 100 * read["metrics"]["miou"]
    return f"mIoU {miou:.1f} %{at} on {read['images']} images ({threshold['how']})"
