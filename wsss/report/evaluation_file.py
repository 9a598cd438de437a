"""Reading the JSON files that the evaluation stage writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsss.core.errors import UserError

FORMAT = ("wsss evaluation", 1)  # format and version


def read_evaluation(path: Path, split: str | None = None) -> dict[str, Any]:
    """An evaluation; UserError for any other file, or one of another split than `split`."""
    try:
        read = json.loads(path.read_text())
    except OSError:
        raise UserError(f"{path}: no such file; run the evaluation that makes it") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); make it again") from None
    if not isinstance(read, dict) or (read.get("format"), read.get("version")) != FORMAT:
        raise UserError(f"{path}: no evaluation of this version of wsss; make it again")
    if split is not None and read["split"] not in (split, None):
        raise UserError(f"{path}: is of split {read['split']}, but {split} is needed here")
    return read
