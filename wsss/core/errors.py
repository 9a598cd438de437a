"""What a user's mistake, a bad file or a signal raises, and failed system calls as one line."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

_NO_CUDA_MEMORY = re.compile(r"CUDA.*out of memory|CUBLAS_STATUS_ALLOC_FAILED", re.I | re.S)
_REMEDIES = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space within your quota",
    errno.EACCES: "give access to it, or choose another folder",
    errno.EPERM: "give access to it, or choose another folder",
    errno.EROFS: "choose a folder that can be written",
    errno.EISDIR: "a folder stands there; choose another name",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network file system, then run again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class UserError(Exception):
    """Something the user can mend: its message is one line saying what, where, and what to do.

    The command line prints the message without a traceback and exits with status 1.
    """


class Stopped(Exception):
    """Work that was ended from outside before its result was written.

    The command line prints the message, if there is one, and exits with `status`.
    """

    def __init__(self, status: int, message: str = ""):
        super().__init__(message)
        self.status = status


class Restart(Exception):
    """All processes of this command must be started again, and one of them says so.

    The command line ends the process at once with `wsss.core.ranks.RESTART`.
    """


def cannot_write(path: str | Path, error: OSError) -> UserError:
    """A failed write of `path` as one line: path, reason, remedy."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno, "choose a folder that can be written")
    return UserError(f"{path}: cannot be written ({reason}); {remedy}")


def system_problem(error: BaseException) -> str | None:
    """A failed system call as one line: path, reason, remedy; None for any other error.

    HDF5 and safetensors put the number of the reason into a longer text ("errno = 28").
    """
    text = str(error)
    number = getattr(error, "errno", None)
    # Of two names, as a copy or a renaming has them, the second is the one that was written.
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if number is None:
        match = re.search(r"(?:errno = |os error )(\d+)", text)
        number = int(match[1]) if match else None
    if path is None:
        match = re.search(r"name = '([^']+)'", text)
        path = match[1] if match else None
    if number is None or (path is None and number not in _REMEDIES):
        return None
    at = "" if path is None else f"{path}: "
    return f"{at}{os.strerror(number)}; {_REMEDIES.get(number, 'check the path, then run again')}"


def cuda_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that the GPU has no memory left; not all errors of it have a class."""
    return isinstance(error, RuntimeError) and bool(_NO_CUDA_MEMORY.search(str(error)))
