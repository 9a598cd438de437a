"""From class scores to masks: the arg-max at image size, as a masks file and as palette PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.errors import UserError
from wsss.core.files.atomic import write_bytes
from wsss.core.files.store import Header, MapReader, MapRecord, MaskWriter
from wsss.core.images import palette_png
from wsss.core.log import progress
from wsss.core.maps import upsample
from wsss.core.parallel import imap


def write_masks(
    scores: Path | Sequence[Path], out: Path, *, png: Path | None = None, workers: int = 1
) -> None:
    """Write the most probable class of each pixel, at image size.

    scores: a maps file with a background channel (class id 0 first). png: a folder for one indexed
    PNG per image, `<id>.png`, with VOC's palette and class ids as values, as the VOC server takes
    them. Raises UserError where the scores hold no background.
    """
    with MapReader(scores) as reader:
        of = reader.header
        header = Header("masks", of.split, of.classes, extra={"source": of.source()})
        with MaskWriter(out, header) as writer:
            found = imap(_Task(reader, png), range(len(reader)), workers)
            bar = progress(found, total=len(reader), what="masks")
            for image_id, mask in zip(reader.ids, bar, strict=True):
                writer.add(image_id, mask)


def most_probable(record: MapRecord) -> UInt8[np.ndarray, "H W"]:
    """Class ids (H, W) of the arg-max of the scores, upsampled bilinearly; ties to the lower id."""
    best = upsample(record.maps, record.size).argmax(0)
    return record.classes.astype(np.uint8)[best]


class _Task:
    """What a worker does with a position in the file."""

    def __init__(self, reader: MapReader, png: Path | None):
        self.reader, self.png = reader, png

    def __call__(self, position: int) -> UInt8[np.ndarray, "H W"]:
        record = self.reader[position]
        if 0 not in record.classes:
            raise UserError(
                f"{self.reader.paths[0]}: '{record.id}' has no background scores; give a file of "
                "`wsss segmentation predict`"
            )
        mask = most_probable(record)
        if self.png is not None:
            write_bytes(self.png / f"{record.id}.png", palette_png(mask))
        return mask
