"""The folder of a training's checkpoints, and what they must match to be resumed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from wsss.core.files.atomic import write_text
from wsss.core.log import log
from wsss.core.ranks import rank


def fingerprint(recipe: str, seed: int, code: str, inputs: Sequence[Path]) -> str:
    """What a checkpoint must match to be resumed: recipe, seed, code, and the inputs' bytes.

    recipe: canonical JSON; code: a `code_digest`. Every input is read whole.
    """
    whole = hashlib.sha256(f"{recipe}\n{seed}\n{code}\n".encode())
    for path in inputs:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.name} {digest}\n".encode())
    return whole.hexdigest()[:24]


class Checkpoints:
    """The checkpoints of the model file `out` that belong to one fingerprint."""

    def __init__(self, out: Path, resume_key: str):
        self.out, self.folder = out, _all(out) / resume_key

    @property
    def last(self) -> Path:
        """The checkpoint of the last whole epoch, which may not be there yet."""
        return self.folder / "last.ckpt"

    def discard_others(self) -> None:
        """Delete the checkpoints of another fingerprint; only the first process does."""
        if _all(self.out).exists() and not self.folder.exists() and rank() == 0:
            log.info("%s: checkpoint of another recipe, code or input; starting again", self.out)
            shutil.rmtree(_all(self.out))

    def epochs(self) -> int:
        """How many whole epochs the last checkpoint holds; 0 without one."""
        if not self.last.exists():
            return 0
        return torch.load(self.last, map_location="cpu", weights_only=True, mmap=True)["epoch"] + 1

    def state(self, path: str | Path) -> dict[str, Any]:
        """A checkpoint's content, on the CPU."""
        return torch.load(path, map_location="cpu", weights_only=True)

    @property
    def in_halves(self) -> bool:
        """Whether a GPU's memory was too small for whole batches."""
        return (self.folder / "halved").exists()

    def remember_halves(self) -> None:
        """This start and all that resume it compute half batches."""
        write_text(self.folder / "halved", "")


def discard_checkpoints(out: Path) -> None:
    """Delete the checkpoints of a model file that is safely written."""
    shutil.rmtree(_all(out), ignore_errors=True)


def _all(out: Path) -> Path:
    return out.parent / f".checkpoints-{out.stem}"
