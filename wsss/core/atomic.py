"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsss.core.errors import cannot_write


@contextmanager
def told(path: str | Path) -> Iterator[None]:
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
    with told(path):
        temporary = temporary_for(path)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            discard(temporary)


def temporary_for(path: Path) -> Path:
    """The temporary name of this process for `path`, in its folder, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def tidy(path: Path) -> None:
    """Delete temporaries of `path` whose process is gone: SIGKILL gave it no time to.

    Lists the folder, so it is for the few large files, not for thousands of small ones.
    """
    left = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    for other in path.parent.iterdir():
        match = left.fullmatch(other.name)
        if match and not _alive(int(match[1])):
            discard(other)


def discard(temporary: Path) -> None:
    """Delete a temporary, if it is there and can be."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
