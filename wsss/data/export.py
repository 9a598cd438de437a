"""Masks of the store as palette PNGs, one file an id."""

from __future__ import annotations

from pathlib import Path

from wsss.core.command import progress, write_bytes
from wsss.core.errors import UserError
from wsss.core.images import palette_png
from wsss.core.store import MaskReader


def export_masks(masks: str | Path, out: str | Path, overwrite: bool = False) -> int:
    """Write `out`/<id>.png for each mask (mode P, VOC palette, values unchanged); returns how many.

    UserError if the folder holds anything already, unless `overwrite`: then files of the same name
    are replaced and others stay.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UserError(f"{out}: not empty; give an empty folder, or --overwrite")
    with MaskReader(masks) as reader:
        for name in reader.ids:
            if Path(name).name != name:
                raise UserError(f"{masks}: id '{name}' is no file name; it cannot be exported")
        out.mkdir(parents=True, exist_ok=True)
        for name, mask in progress(reader, total=len(reader), what="export"):
            write_bytes(out / f"{name}.png", palette_png(mask))
        return len(reader)
