"""Reading the JSON files that the evaluation stage writes: evaluation and report both do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from wsss.core.errors import UserError

FORMAT = "wsss evaluation"
VERSION = 1

# What a reader may take for given; below a null nothing is asked.
_KEYS = (
    *("evaluated.kind", "split", "images", "threshold.value", "threshold.how", "tta", "crf"),
    *("tta.scales", "tta.flip", "image_labels", "commit", "recipe.predicted_ignore"),
    *("crf.preset", "crf.steps", "metrics.miou", "metrics.miou_foreground", "metrics.fp"),
    *("metrics.fn", "metrics.precision", "metrics.recall", "metrics.f1"),
    *("metrics.pixel_accuracy", "fixed.threshold", "fixed.metrics.miou"),
    *("curve.thresholds", "curve.miou", "curve.fp", "curve.fn"),
)


def read_evaluation(path: Path, split: str | None = None) -> dict[str, Any]:
    """An evaluation; see `wsss.evaluation.record.document` for its keys.

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
    missing = [key for key in _KEYS if not _has(read, key.split("."))]
    if missing:
        some = ", ".join([*missing[:3], *(["…"] if missing[3:] else [])])
        raise UserError(f"{path}: incomplete, without {some}; make it again")
    if split is not None and read["split"] not in (split, None):
        raise UserError(f"{path}: is of split {read['split']}, but {split} is needed here")
    return read


def _has(value: Any, keys: list[str]) -> bool:
    for i, key in enumerate(keys):
        if value is None and i:
            return True
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
