"""Which GPUs there are, and some of them for this job; no torch before a job asks for one."""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from wsss.core.errors import UserError
from wsss.core.ranks import ranks

log = logging.getLogger("wsss")  # not from wsss.core.log: the Snakefile reads this module
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder per GPU
_held: list[int] = []  # file descriptors: a lock lasts as long as its process


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES lists, else the numbers of the NVIDIA GPUs of this machine."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in listed.split(",") if name]
    return [str(i) for i, _ in enumerate(DRIVER.iterdir())] if DRIVER.is_dir() else []


def requires_gpu() -> bool:
    """Whether WSSS_GPU says that a job without a GPU must stop; UserError if it says nothing known.

    "required", or "auto", which is the default: compute on the CPU.
    """
    chosen = os.environ.get("WSSS_GPU", "auto")
    if chosen not in ("auto", "required"):
        raise UserError(f"WSSS_GPU is '{chosen}'; set it to auto or required")
    return chosen == "required"


def claim_gpu() -> None:
    """`claim_gpus` for one."""
    claim_gpus(1)


def claim_gpus(wanted: int) -> int:
    """Make `wanted` GPUs the only visible ones, and no other wsss process's while this one lives.

    Returns how many there are, `wanted` at most, and 0 where torch can use none (MPS counts as
    none here). Nothing is chosen where one or none is visible, nor in a Slurm job that has as many
    as it wants, or fewer: Slurm or the user has. Where too few are free it waits for all at once.
    Where torch can use none, that is said once; UserError if WSSS_GPU=required. To be called before
    CUDA starts. A second call chooses nothing, nor does one of several processes: the one that
    watches them has.
    """
    gpus = visible_gpus()
    given = len(gpus) == 1 or ("SLURM_JOB_ID" in os.environ and len(gpus) <= wanted)
    if gpus and not given and not _held and ranks() == 1:
        _claim(gpus, min(wanted, len(gpus)))
    _say_if_none()
    import torch

    return min(wanted, torch.cuda.device_count())


@functools.cache
def _say_if_none() -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return
    named = ", ".join(visible_gpus())
    found = f"torch cannot use GPU {named}" if named else "no GPU is visible"
    if requires_gpu():
        raise UserError(
            f"{found}, and WSSS_GPU=required; see what nvidia-smi and `python -m "
            "torch.utils.collect_env` say, or unset WSSS_GPU to compute on the CPU"
        )
    if named:
        log.info("%s: computing on the CPU (WSSS_GPU=required makes this an error)", found)


def _claim(gpus: list[str], wanted: int) -> None:
    logged = False
    while True:
        mine: dict[str, int] = {}
        for gpu in gpus:
            lock = _lock(gpu) if len(mine) < wanted else None
            if lock is not None:
                mine[gpu] = lock
        if len(mine) == wanted:
            _held.extend(mine.values())
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
            log.info("GPU %s", ", ".join(mine))
            return
        # Two jobs that each kept some of what they need would wait for each other for ever.
        for lock in mine.values():
            os.close(lock)
        if not logged:
            what = "one" if wanted == 1 else str(wanted)
            log.info("waiting for %s of the GPUs %s, which others use", what, ", ".join(gpus))
            logged = True
        time.sleep(1)


def _lock(gpu: str) -> int | None:
    """The descriptor that holds a GPU's lock; None if another process does."""
    name = gpu.replace(os.sep, "-")
    # GPUs of two Slurm jobs on one node can have the same numbers, each job its own.
    job = os.environ.get("SLURM_JOB_ID")
    if job is not None:
        name = f"{job}-{name}"
    path = Path(tempfile.gettempdir()) / f"wsss-gpu-{name}.lock"
    # Reading is enough for a lock, so that other users' files serve as well. O_EXCL: in a folder
    # that all can write to, the kernel may refuse to make a file that is there and another user's.
    with suppress(FileExistsError):
        made = os.open(path, os.O_CREAT | os.O_EXCL, 0o644)
        os.fchmod(made, 0o644)  # whatever the umask
        os.close(made)
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
