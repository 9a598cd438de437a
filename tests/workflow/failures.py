"""What tests of failures look at while a workflow runs: its jobs and their checkpoints."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Workflow


def jobs_of(workflow: Workflow, out: str = "") -> list[int]:
    """Process ids of the wsss jobs that run in its folder, or of that which makes `out`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_text().split("\0")
            here = (process / "cwd").readlink() == workflow.folder
        except OSError:
            continue
        if here and command[1:3] == ["-m", "wsss"] and (not out or out in command):
            found.append(int(process.name))
    return found


def checkpoints(folder: Path) -> set[tuple[Path, int]]:
    """The checkpoints of a training's folder and when each was written."""
    found = set()
    for path in folder.glob(".checkpoints-*/*/last.ckpt"):
        try:
            found.add((path, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return found


def until(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """The first true value of `condition()`; generous, for it only bounds a failure."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value
