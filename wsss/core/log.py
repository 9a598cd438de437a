"""What every command shows: a log, progress bars, and errors of one line."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from wsss.core.errors import (
    Restart,
    Stopped,
    UserError,
    cannot_write,
    cuda_out_of_memory,
    system_problem,
)
from wsss.core.ranks import RESTART, rank, ranks

T = TypeVar("T")
log = logging.getLogger("wsss")


def progress(items: Iterable[T], *, total: int, what: str, unit: str = "img") -> Iterable[T]:
    """A progress bar with rate and time left on standard error; in a log, a line now and then."""
    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(items, total=total, desc=what, unit=unit, mininterval=interval, dynamic_ncols=True)


class _LogFile(logging.FileHandler):
    """A disk that fills up costs the log its lines, not the job its work or its last message."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def start_logging(path: Path | None) -> None:
    """Log to standard error, and to `path` too when one is given.

    UserError if `path` cannot be opened; what cannot be written there later is lost. Several
    processes of one command share its log, and all except the first log errors only.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if ranks() == 1:
                path.write_bytes(b"")
            handlers.append(_LogFile(path, mode="a"))
        except OSError as error:
            raise cannot_write(path, error) from None
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
    except Stopped as stop:
        if str(stop):
            log.error("error: %s", stop)
        raise SystemExit(stop.status) from None
    except Restart:
        # At once: on the way out of Python, libraries may wait for the other processes.
        os._exit(RESTART)
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
