"""Reading the run cards that `wsss.core.command.run_card` writes, damaged ones too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_card(path: Path) -> dict[str, Any] | None:
    """A run card, or None where it is absent, damaged, or silent on the code of its output."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = ("output", "entry", "code", "commit")
    whole = isinstance(card, dict) and all(isinstance(card.get(key), str) for key in needed)
    return card if whole else None
