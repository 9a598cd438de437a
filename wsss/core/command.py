"""What every command shares: log file, one-line errors, atomic text, progress bars, run cards."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from tqdm import tqdm

from wsss.core.atomic import replacing, told
from wsss.core.digest import ROOT, code_digest
from wsss.core.errors import UserError, cuda_out_of_memory, system_problem
from wsss.core.ranks import rank, ranks

T = TypeVar("T")
log = logging.getLogger("wsss")

RecipeOption = Annotated[
    str, typer.Option("--recipe", help="The recipe as JSON; {} takes the defaults.")
]
OutOption = Annotated[Path, typer.Option("--out", help="File to write.")]
ImagesOption = Annotated[
    list[Path], typer.Option("--images", help="Images file; repeat it for shards.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Processor threads.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Worker processes.")]
ShardOption = Annotated[
    str, typer.Option("--shard", help="Only this part of the images: 2/7 is the second of seven.")
]
GpusOption = Annotated[
    int,
    typer.Option("--gpus", min=1, help="GPUs that share each batch; the batch stays as it is."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]


def progress(items: Iterable[T], *, total: int, what: str, unit: str = "img") -> Iterable[T]:
    """A progress bar with rate and time left on standard error; in a log a line now and then."""
    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(items, total=total, desc=what, unit=unit, mininterval=interval, dynamic_ncols=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file under a temporary name and rename it."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file under a temporary name in its folder and rename it."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def commit() -> str:
    """The commit of the checkout this package lies in, "+" behind it with local changes.

    "unknown" for an installed package, wherever it is run from.
    """
    home = ROOT.parent
    if not (home / ".git").exists():
        return "unknown"
    try:
        run = ["git", f"--git-dir={home / '.git'}", f"--work-tree={home}", "describe"]
        run += ["--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def card_path(out: str | Path) -> Path:
    """Where the run card of an output lies: log/<name>.run.json in its folder."""
    out = Path(out)
    return out.parent / "log" / f"{out.name}.run.json"


def run_card(out: str | Path, entry: Callable, recipe: str, started: float, **more: Any) -> None:
    """Record beside an output who made it: recipe, digest of `entry`'s module, commit, seconds.

    The card is no input of anything: times and host names in it never cause a rerun.
    """
    from wsss.core.store import software_versions

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


class _LogFile(logging.FileHandler):
    """A disk that fills up costs the log its lines, not the job its work or its last message."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def start_logging(path: Path | None) -> None:
    """Log to standard error, and to `path` too when one is given.

    UserError if `path` cannot be opened; what cannot be written there later is lost. Several
    processes of one command share its log, and all but the first tell only what went wrong.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if ranks() == 1:
                path.write_bytes(b"")
            handlers.append(_LogFile(path, mode="a"))
    form = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    for handler in handlers:
        handler.setFormatter(form)
    log.handlers = handlers
    log.setLevel(logging.INFO if rank() == 0 else logging.ERROR)
    log.propagate = False


def run(app: Callable[[], Any]) -> None:
    """Run a typer app: what the user can mend ends as one line and status 1, a bug as a traceback.

    A failed system call (no space, no permission) is the user's to mend too.
    """
    try:
        app()
    except UserError as error:
        # A loader's worker sends its whole traceback, which ends in the message.
        for line in str(error).rpartition(f"{UserError.__module__}.UserError: ")[2].splitlines():
            log.error("error: %s", line)
        raise SystemExit(1) from None
    except MemoryError:
        log.error(
            "error: out of memory; lower the batch size in the recipe or give the job more memory"
        )
        raise SystemExit(1) from None
    except Exception as error:
        problem = system_problem(error)
        if cuda_out_of_memory(error):
            problem = "CUDA out of memory; take a GPU with more memory, or one that is free"
        if problem is not None:
            log.error("error: %s", problem)
            raise SystemExit(1) from None
        log.error(
            "error: this is a bug in wsss, please report it with these lines:\n%s",
            traceback.format_exc(),
        )
        raise SystemExit(70) from None
