"""Which GPUs there are, and one of them for this process, without importing torch."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from pathlib import Path

log = logging.getLogger("wsss")  # not by wsss.core.command: the Snakefile reads this module
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder a GPU
_held: list[int] = []  # file descriptors: a lock lasts as long as its process


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES lists, else the numbers of the NVIDIA GPUs of this machine."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in listed.split(",") if name]
    return [str(i) for i, _ in enumerate(DRIVER.iterdir())] if DRIVER.is_dir() else []


def claim_gpu() -> None:
    """Make one GPU the only visible one, and no other wsss process's while this one lives.

    Nothing happens where one or none is visible: Slurm or the user has chosen. Where all are taken
    it waits. To be called before CUDA starts; a second call changes nothing.
    """
    gpus = visible_gpus()
    if _held or len(gpus) < 2:
        return
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
