"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsss.core.errors import cannot_write

# Nodes of a cluster share folders, but not the numbers of their processes.
HOST = platform.node()
FORGOTTEN = 86400  # seconds: nobody writes a file for a day without a byte


@contextmanager
def reporting_write_errors(path: str | Path) -> Iterator[None]:
    """A failed system call inside is the UserError that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """The temporary name to write to; a clean exit gives it the name `path`.

    Any error leaves `path` as it was and no temporary. Only writing may stand inside: an OSError
    there is raised as the UserError that `path` cannot be written.
    """
    path = Path(path)
    with reporting_write_errors(path):
        temporary = temporary_for(path)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            discard(temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file under a temporary name and rename it."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file under a temporary name in its folder and rename it."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def temporary_for(path: Path) -> Path:
    """The temporary name of this process for `path`, in its folder, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}.tmp")


def tidy(path: Path) -> None:
    """Delete temporaries of `path` whose process is gone: SIGKILL gave it no time to.

    Of another machine's processes nothing is known: theirs go a day after the last byte.
    Lists the folder, so it is for the few large files, not for thousands of small ones.
    """
    left = re.compile(rf"\.{re.escape(path.name)}\.(.+)-(\d+)\.tmp")
    for other in path.parent.iterdir():
        match = left.fullmatch(other.name)
        if match and (_is_gone(int(match[2])) if match[1] == HOST else _is_forgotten(other)):
            discard(other)


def discard(temporary: Path) -> None:
    """Delete a temporary, if it is there and can be."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _is_forgotten(temporary: Path) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - temporary.stat().st_mtime > FORGOTTEN
    return False
