"""Saliency maps of the store as grey PNGs, one file per id."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wsss.core.files.pairing import require_classes
from wsss.core.files.png_folder import write_pngs
from wsss.core.files.store import MapReader, MapRecord
from wsss.core.maps import SALIENT, upsample


def export(maps: Sequence[Path], out: Path, *, overwrite: bool = False) -> int:
    """Write `out`/<id>.png for each map: 8-bit grey at the image's size; returns how many.

    A pixel is round(255 · s), the form in which PoolNet, EPS and others exchange saliency.
    What lies outside [0, 1] is cut; an image without a map is 0. UserError for maps of classes, for
    no maps file, and for a folder that holds anything, unless `overwrite`.
    """
    with MapReader(maps) as reader:
        require_classes(reader, SALIENT, remedy="give saliency maps, or see wsss cam export")
        write_pngs(out, reader.ids, map(_png, reader), source=maps[0], overwrite=overwrite)
        return len(reader)


def _png(record: MapRecord) -> bytes:
    saliency = np.zeros(record.size, np.float32)
    if len(record.maps):
        saliency = upsample(record.maps, record.size)[0].clip(0, 1)
    buffer = io.BytesIO()
    Image.fromarray(np.round(255 * saliency).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
