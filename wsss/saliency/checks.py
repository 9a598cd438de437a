"""What training refuses before it starts."""

from __future__ import annotations

from pathlib import Path

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MaskReader

SMALLEST = 16  # pixels: the side of one place of a map at stride 16


def require_size(reader: ImageReader, path: Path) -> None:
    """UserError that names the images with a side below SMALLEST pixels: they show nothing."""
    tiny = [i for i, size in zip(reader.ids, reader.sizes, strict=True) if min(size) < SMALLEST]
    if tiny:
        height, width = reader.sizes[reader.index(tiny[0])]
        message = f" and {len(tiny) - 1} more are" if tiny[1:] else " is"
        raise UserError(
            f"{path}: image '{tiny[0]}' ({width}×{height} pixels){message} smaller than {SMALLEST} "
            "pixels; leave such images out of the list"
        )


def require_both_sides(masks: MaskReader) -> None:
    """UserError where no mask has both foreground and background: there is nothing to learn."""
    with masks:  # closed again before the loader's workers start
        if any((mask == 0).any() and (mask == 1).any() for _, mask in masks):
            return
    raise UserError(
        f"{masks.paths[0]}: no mask has both salient and background pixels; look at the maps that "
        "they were made from (wsss saliency export) and at masks.threshold"
    )
