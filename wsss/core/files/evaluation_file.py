"""Reading the JSON files that the evaluation stage writes: evaluation and report both do."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsss.core.errors import UserError

FORMAT = "wsss evaluation"
VERSION = 1

# The figures of a file of maps, scores or masks; those of a classifier (image-level labels), of
# explanations (what masking images by them does to the classifier), and of maps as localization.
MASK_METRICS = (
    *("miou", "miou_foreground", "fp", "fn", "precision", "recall", "f1", "pixel_accuracy"),
)
CLASSIFIER_METRICS = ("f1", "f2", "map", "precision", "recall", "micro_f1", "exact_match")
EXPLANATION_METRICS = (
    *("ic", "ad", "ar", "ado", "aro", "ado_multi", "aro_multi"),
    *("macro_ic", "macro_ad", "macro_ar", "macro_ado", "macro_aro"),
    *("f1_of_ar_ado", "f1_of_ad_aro"),
)
CURVE_METRICS = ("deletion", "insertion")  # of explanations whose recipe has curves
LOCALIZATION_METRICS = (
    *("max_box_acc", "max_box_acc_v2", "pxap", "peak_iou", "peak_iou_threshold", "pointing"),
)
METRICS_OF = {
    "classifier": CLASSIFIER_METRICS,
    "explanations": EXPLANATION_METRICS,
    "localization": LOCALIZATION_METRICS,
}

# What a reader may take for given besides; below a null nothing is asked.
_KEYS = (
    *("evaluated.kind", "split", "images", "threshold.value", "threshold.how", "tta", "crf"),
    *("tta.scales", "tta.flip", "image_labels", "commit", "recipe.predicted_ignore"),
    *("crf.preset", "crf.steps", "fixed.threshold", "fixed.metrics.miou"),
    *("curve.thresholds", "curve.miou", "curve.fp", "curve.fn"),
)


def read_evaluation(path: Path, split: str | None = None) -> dict[str, Any]:
    """An evaluation; see `wsss.evaluation.record.document` for its keys.

    Its metrics are those of its `evaluated.kind` in METRICS_OF, or else MASK_METRICS.

    Raises UserError for any other file, an incomplete one, or one of another split than `split`.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the evaluation that makes it") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"{path}: cannot be read ({reason}); give a readable file") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); make it again") from None
    if not isinstance(read, dict) or (read.get("format"), read.get("version")) != (FORMAT, VERSION):
        raise UserError(f"{path}: no evaluation of this version of wsss; make it again")
    missing = [key for key in (*_KEYS, *_metrics(read)) if not _has(read, key.split("."))]
    if missing:
        some = ", ".join([*missing[:3], *(["…"] if missing[3:] else [])])
        raise UserError(f"{path}: incomplete, without {some}; make it again")
    if split is not None and read["split"] not in (split, None):
        raise UserError(f"{path}: is of split {read['split']}, but {split} is needed here")
    return read


def train_threshold(path: Path) -> float:
    """The threshold that an evaluation of maps on train chose, in [0, 1].

    Raises UserError for an evaluation of another split, or of what has no threshold, besides what
    `read_evaluation` refuses: a threshold that val's masks chose makes val's figures too good.
    """
    read = read_evaluation(path, "train")
    kind, value = read["evaluated"]["kind"], read["threshold"]["value"]
    if kind != "maps" or not isinstance(value, float | int):
        raise UserError(
            f"{path}: evaluates {kind}, which chooses no threshold; give the evaluation of the "
            "same maps on train"
        )
    if read["split"] is None:
        raise UserError(f"{path}: names no split, but train is needed here; evaluate maps of train")
    return float(value)


def number_or_null(value: float) -> float | None:
    """A figure as JSON has it, where NaN is none: null for what is undefined."""
    return None if math.isnan(value) else float(value)


def in_percent(figures: Mapping[str, float | None]) -> str:
    """Labelled shares for the log, a dash for what is undefined."""
    shown = {label: "–" if v is None else f"{100 * v:.1f}" for label, v in figures.items()}
    return ", ".join(f"{label} {value}" for label, value in shown.items())


def kind(read: dict[str, Any]) -> str:
    """What it evaluates: one of METRICS_OF, or "masks" for whatever ends as masks."""
    evaluated = read.get("evaluated")
    found = evaluated.get("kind") if isinstance(evaluated, dict) else None
    return found if found in METRICS_OF else "masks"


def _metrics(read: dict[str, Any]) -> list[str]:
    return [f"metrics.{name}" for name in METRICS_OF.get(kind(read), MASK_METRICS)]


def _has(value: Any, keys: list[str]) -> bool:
    for i, key in enumerate(keys):
        if value is None and i:
            return True
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
