"""Masks to evaluate, ours or anybody's: HDF5 mask files, or a folder of PNG masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.core.files.store import Header, MaskReader
from wsss.core.images import DECODING_ERRORS, read_png


class PngMasks:
    """A folder of PNG masks, `<id>.png`, read like a `MaskReader`.

    Pixels are class ids: palette, grey, 1-bit and 16-bit PNGs, whatever the palette's colours, as
    data sets' masks are read, except colours. Raises UserError for a missing folder or one without
    PNG files, and for an image that is none of these or holds more than 255.
    """

    header: Header | None = None

    def __init__(self, folder: str | Path):
        self.paths = [Path(folder)]
        if not self.paths[0].is_dir():
            raise UserError(f"{folder}: no such folder; give a folder of PNG masks or .h5 files")
        self._files = {path.stem: path for path in sorted(self.paths[0].glob("*.png"))}
        self.ids = list(self._files)
        if not self.ids:
            raise UserError(f"{folder}: no *.png in it; give the folder that holds the masks")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._files

    def __getitem__(self, image_id: str) -> UInt8[np.ndarray, "h w"]:
        path = self._files[image_id]
        try:
            mode, stored = read_png(path)
        except DECODING_ERRORS as error:
            raise UserError(f"{path}: unreadable ({error}); make it again") from None
        if mode not in ("1", "L", "P") and not mode.startswith("I"):
            raise UserError(
                f"{path}: a {mode} image, not class ids; save an 8-bit grey "
                "or palette PNG whose pixel values are the class ids"
            )
        if stored.max(initial=0) > 255 or stored.min(initial=0) < 0:
            wrong = stored[(stored > 255) | (stored < 0)][0]
            raise UserError(f"{path}: holds {wrong}, class ids end at 255; save the class ids")
        return stored.astype(np.uint8)


def open_masks(paths: Sequence[Path]) -> PngMasks | MaskReader:
    """A folder of PNG masks, or one or several (shards) HDF5 mask files."""
    if len(paths) == 1 and paths[0].suffix != ".h5":
        return PngMasks(paths[0])
    return MaskReader(list(paths))


def read_ids(path: Path) -> list[str]:
    """Image ids of a list, read as a data set's lists are; UserError for none, or one twice."""
    ids = read_list(path)
    if not ids:
        raise UserError(f"{path}: names no image; write one id per line")
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise UserError(f"{path}: '{twice}' stands there twice; name each image once")
    return ids
