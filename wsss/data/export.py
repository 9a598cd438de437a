"""Masks of the store as palette PNGs, one file per id."""

from __future__ import annotations

from pathlib import Path

from wsss.core.files.png_folder import write_pngs
from wsss.core.files.store import MaskReader
from wsss.core.images import palette_png


def export_masks(masks: str | Path, out: str | Path, overwrite: bool = False) -> int:
    """Write `out`/<id>.png for each mask (mode P, VOC palette, values unchanged); returns how many.

    UserError if the folder holds anything already, unless `overwrite`: then files of the same name
    are replaced and others stay.
    """
    with MaskReader(masks) as reader:
        pngs = (palette_png(mask) for _, mask in reader)
        write_pngs(out, reader.ids, pngs, source=masks, overwrite=overwrite)
        return len(reader)
