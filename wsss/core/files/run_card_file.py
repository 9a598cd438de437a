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
from wsss.core.ranks import ranks
from wsss.core.software import commit, software_versions

_STARTED = time.monotonic()  # command lines import this module first of all


def card_path(out: str | Path) -> Path:
    """Where the run card of an output lies: log/<name>.run.json in its folder."""
    out = Path(out)
    return out.parent / "log" / f"{out.name}.run.json"


def run_card(out: str | Path, entry: Callable, recipe: str, **more: Any) -> None:
    """Record next to an output who made it: recipe, digest of `entry`'s module, commit, seconds.

    The seconds count the whole command, imports included. No rule depends on the card:
    times and host names in it never cause a rerun. Of several processes that make one output,
    none writes a card: the one that started them does.
    """
    if ranks() > 1:
        return
    card = {
        **maker(Path(out).name, entry.__module__),
        "recipe": json.loads(recipe),
        "software": software_versions(),
        "python": platform.python_version(),
        "machine": f"{platform.node()} {platform.machine()} {os.cpu_count()} cores",
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "seconds": round(time.monotonic() - _STARTED, 2),
    }
    write_card(card_path(out), card | more)
    log.info("wrote %s, %.1f s", out, card["seconds"])


def maker(output: str, module: str) -> dict[str, Any]:
    """What every card says: the output's name, this command, its module, and that module's code."""
    return {
        "output": output,
        "command": sys.argv[1:],
        "entry": module,
        "code": code_digest(module),
        "commit": commit(),
    }


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write a card whole or not at all. UserError if it cannot be written."""
    write_text(path, json.dumps(card, indent=1) + "\n")


def read_card(path: Path) -> dict[str, Any] | None:
    """A run card, or None where it is absent, damaged, or silent on the code of its output."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = ("output", "entry", "code", "commit")
    whole = isinstance(card, dict) and all(isinstance(card.get(key), str) for key in needed)
    return card if whole else None


def counts_as(card: dict[str, Any], code: str) -> bool:
    """Whether the output was made by code of this digest, or was accepted as if it were.

    `wsss status --accept` writes the digest of its day as `accepted`.
    Code that changes after that day is not accepted.
    """
    return code in (card["code"], card.get("accepted"))
