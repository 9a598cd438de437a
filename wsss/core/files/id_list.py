"""Lists of image ids as text files: one reader for training splits and for evaluation."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from wsss.core.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")


def image_id(text: str) -> str:
    """The id in "2007_000032", "2007_000032.jpg" or "/JPEGImages/2007_000032.jpg"."""
    path = PurePosixPath(text)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def read_list(path: Path) -> list[str]:
    """Ids of a list file, one per line, in its order; an id that comes twice stands there twice.

    An id is the whole line without an image suffix, blanks inside it included. A line that starts
    with "/" is one of VOC's published pairs "/JPEGImages/<id>.jpg /SegmentationClassAug/<id>.png".
    Raises UserError for a file that is not readable text, and for ids with a folder in them.
    """
    lines = [line.strip() for line in read_text(path).split("\n")]
    ids = [
        image_id(line.split()[0]) if line.startswith("/") else _without_suffix(line)
        for line in lines
        if line
    ]
    nested = [name for name in ids if "/" in name]
    if nested:
        some = ", ".join(f"'{name}'" for name in nested[:5])
        raise UserError(
            f"{path}: {len(nested)} ids name a folder: {some}; put the images into one folder "
            "under names of their own, and list the names alone"
        )
    return ids


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; UserError if it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path}: cannot be read ({reason}); correct the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def _without_suffix(name: str) -> str:
    """Not `image_id`: that would take the last part of a path and hide its folder."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in SUFFIXES else name
