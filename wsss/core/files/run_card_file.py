"""Run cards: the record next to an output of who made it, from what, and how."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsss.core.digest import code_digest
from wsss.core.files.atomic import write_text
from wsss.core.log import log
from wsss.core.software import commit, software_versions


def card_path(out: str | Path) -> Path:
    """Where the run card of an output lies: log/<name>.run.json in its folder."""
    out = Path(out)
    return out.parent / "log" / f"{out.name}.run.json"


def run_card(out: str | Path, entry: Callable, recipe: str, started: float, **more: Any) -> None:
    """Record beside an output who made it: recipe, digest of `entry`'s module, commit, seconds.

    The card is no input of anything: times and host names in it never cause a rerun.
    """
    card = {
        "output": Path(out).name,
        "command": sys.argv[1:],
        "recipe": json.loads(recipe),
        "code": code_digest(entry.__module__),
        "entry": entry.__module__,
        "commit": commit(),
        "software": software_versions(),
        "python": platform.python_version(),
        "machine": f"{platform.node()} {platform.machine()} {os.cpu_count()} cores",
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "seconds": round(time.monotonic() - started, 2),
    }
    write_text(card_path(out), json.dumps(card | more, indent=1) + "\n")
    log.info("wrote %s, %.1f s", out, card["seconds"])


def read_card(path: Path) -> dict[str, Any] | None:
    """A run card, or None where it is absent, damaged, or silent on the code of its output."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = ("output", "entry", "code", "commit")
    whole = isinstance(card, dict) and all(isinstance(card.get(key), str) for key in needed)
    return card if whole else None
