"""Evaluations as JSON files: four commands write them, and report and later stages read them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import (
    FORMAT,
    VERSION,
    Evaluation,
    kind_of_evaluated,
    required_keys,
)
from wsss.core.metrics import required_metrics
from wsss.core.mistakes import error_lines

_KEYS = tuple(required_keys())


def to_text(document: Mapping[str, Any]) -> str:
    """An evaluation (`Evaluation.document`) as the text of its file."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_evaluation(path: Path, split: str | None = None) -> dict[str, Any]:
    """An evaluation as it stands in the file, with the keys and types of `Evaluation`.

    It has the metrics that every evaluation of its kind has (wsss/core/metrics.py).

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
    try:
        Evaluation.model_validate(read)
    except ValidationError as error:
        _, line = error_lines(error, Evaluation)[0]
        raise UserError(f"{path}: {line}; make it again") from None
    if split is not None and read["split"] not in (split, None):
        raise UserError(f"{path}: is of split {read['split']}, but {split} is needed here")
    return read


def train_threshold(path: Path) -> float:
    """The threshold that an evaluation of maps on train chose, in [0, 1].

    Raises UserError for an evaluation of another split, or of what has no threshold, next to what
    `read_evaluation` refuses: a threshold that val's masks chose makes val's numbers too good.
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
    """A number as JSON has it, where NaN is none: null for what is undefined."""
    return None if math.isnan(value) else float(value)


def in_percent(numbers: Mapping[str, float | None]) -> str:
    """Labelled shares for the log, a dash for what is undefined."""
    shown = {label: "–" if v is None else f"{100 * v:.1f}" for label, v in numbers.items()}
    return ", ".join(f"{label} {value}" for label, value in shown.items())


def kind(read: Mapping[str, Any]) -> str:
    """The kind of its metrics: one of wsss/core/metrics.py."""
    evaluated = read.get("evaluated")
    return kind_of_evaluated(evaluated.get("kind") if isinstance(evaluated, dict) else None)


def _metrics(read: Mapping[str, Any]) -> list[str]:
    return [f"metrics.{name}" for name in required_metrics(kind(read))]


def _has(value: Any, keys: list[str]) -> bool:
    for i, key in enumerate(keys):
        if value is None and i:
            return True
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
