"""Whether files belong together: the same classes, the same split, the same images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MapReader, MaskReader

Reader = ImageReader | MaskReader | MapReader


def require_classes(
    reader: Reader, expected: Sequence[str], *, of: str | Path | None = None, remedy: str
) -> None:
    """UserError unless a file has the expected classes.

    of: the file that has them, None where no other file is concerned. remedy: ends the error.
    """
    classes = reader.header.classes
    if classes != tuple(expected):
        names = ", ".join(expected)
        there = f"not {names}" if of is None else f"but {of} has {names}"
        raise UserError(f"{reader.paths[0]}: classes {', '.join(classes)}, {there}; {remedy}")


def require_split(reader: Reader, other: Reader) -> None:
    """UserError unless both files are of one split."""
    here, there = reader.header.split, other.header.split
    if here != there:
        raise UserError(
            f"{reader.paths[0]}: of split {here}, but {other.paths[0]} is of {there}; give files "
            "of one split"
        )


def require_images(
    records: MapReader | MaskReader, images: ImageReader, ids: Iterable[str] | None = None
) -> None:
    """UserError unless each map or mask has its image in `images`, of the size it was made at.

    ids: of which records, None for all.
    """
    kind, there = records.kind, images.paths[0]
    for image_id in records.ids if ids is None else ids:
        here = f"{records.paths[0]}: {kind.removesuffix('s')} '{image_id}'"
        if image_id not in images:
            raise UserError(
                f"{here} has no image in {there}; give the images that the {kind} were made from"
            )
        size = records.sizes[records.index(image_id)]
        stored = images.sizes[images.index(image_id)]
        if size != stored:
            raise UserError(
                f"{here} is of an image of {size[0]}x{size[1]} pixels, in {there} it has "
                f"{stored[0]}x{stored[1]}; make the {kind} again"
            )
