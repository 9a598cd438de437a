"""The file under an HDF5 file in the making."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class Sink(io.FileIO):
    """A binary file whose failed writes look like good ones to HDF5; `error` keeps the first.

    HDF5 cannot close a file that it could not write out, and ends the process by a segmentation
    fault. Who writes asks `check` instead, and throws the file away.
    """

    error: OSError | None = None

    def __init__(self, path: Path):
        super().__init__(path, "w+")

    def write(self, data: Any) -> int:
        """Write all of `data` (any buffer); nothing more once a write has failed."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += super().write(view[done:]) or 0
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """As `io.FileIO.truncate`, its failure kept too."""
        try:
            if self.error is None:
                return super().truncate(size)
        except OSError as error:
            self.error = error
        return size or 0

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error
