"""Which GPUs there are, and one of them for this process; no torch before a job asks for one."""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import tempfile
import time
from pathlib import Path

from wsss.core.errors import UserError

log = logging.getLogger("wsss")  # not by wsss.core.command: the Snakefile reads this module
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder a GPU
_held: list[int] = []  # file descriptors: a lock lasts as long as its process


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES lists, else the numbers of the NVIDIA GPUs of this machine."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in listed.split(",") if name]
    return [str(i) for i, _ in enumerate(DRIVER.iterdir())] if DRIVER.is_dir() else []


def gpu_required() -> bool:
    """Whether WSSS_GPU says that a job without a GPU must stop; UserError if it says nothing known.

    "required", or "auto", which is the default: compute on the CPU.
    """
    chosen = os.environ.get("WSSS_GPU", "auto")
    if chosen not in ("auto", "required"):
        raise UserError(f"WSSS_GPU is '{chosen}'; set it to auto or required")
    return chosen == "required"


def claim_gpu() -> None:
    """Make one GPU the only visible one, and no other wsss process's while this one lives.

    Nothing is chosen where one or none is visible: Slurm or the user has. Where all are taken it
    waits. Where torch can use none, that is said once; UserError if WSSS_GPU=required. To be called
    before CUDA starts; a second call changes nothing.
    """
    gpus = visible_gpus()
    if not _held and len(gpus) > 1:
        _claim_one_of(gpus)
    _say_if_none()


@functools.cache
def _say_if_none() -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return
    named = ", ".join(visible_gpus())
    found = f"torch cannot use GPU {named}" if named else "no GPU is visible"
    if gpu_required():
        raise UserError(
            f"{found}, and WSSS_GPU=required; see what nvidia-smi and `python -m "
            "torch.utils.collect_env` say, or unset WSSS_GPU to compute on the CPU"
        )
    if named:
        log.info("%s: computing on the CPU (WSSS_GPU=required makes this an error)", found)


def _claim_one_of(gpus: list[str]) -> None:
    told = False
    while True:
        for gpu in gpus:
            name = gpu.replace(os.sep, "-")
            # Reading is enough for a lock, so that other users' files serve as well.
            path = Path(tempfile.gettempdir()) / f"wsss-gpu-{name}.lock"
            lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            _held.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            log.info("GPU %s", gpu)
            return
        if not told:
            log.info("waiting for one of the GPUs %s, which others use", ", ".join(gpus))
            told = True
        time.sleep(1)
