"""Ground-truth masks from PNG files: indices, palette or VOC colours to class ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int16, Shaped, UInt8, UInt32

from wsss.core.errors import UserError
from wsss.core.images import DECODING_ERRORS, IGNORE, read_png, voc_palette


class MaskError(UserError):
    """A mask that cannot be used; `kind` is the kind of problem (wsss.data.problems)."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def renumbering(classes: tuple[str, ...], known: tuple[str, ...]) -> Int16[np.ndarray, " 256"]:
    """Class id by stored id, where the id k ≥ 1 in a stored mask is the class known[k - 1].

    Classes that are not chosen become 255, impossible ids -1.
    """
    ids = np.full(256, -1, np.int16)
    ids[0], ids[IGNORE] = 0, IGNORE
    for stored, name in enumerate(known, start=1):
        ids[stored] = classes.index(name) + 1 if name in classes else IGNORE
    return ids


def read_mask(path: Path, new_ids: Int16[np.ndarray, " 256"]) -> UInt8[np.ndarray, "h w"]:
    """Class ids of a mask file, renumbered by `new_ids` (see `renumbering`).

    Palette, grey, 1-bit and 16-bit PNGs hold indices (a palette's colours do not matter); RGB and
    RGBA hold VOC colours, where (224, 224, 192) is 255. Raises MaskError for a missing or damaged
    file, one of another format (JPEG changes ids), an unknown colour, or a value outside the
    classes.
    """
    if not path.is_file():
        raise MaskError("missing mask", f"{path}: no such file")
    try:
        mode, stored = read_png(path)
    except DECODING_ERRORS as error:
        raise MaskError("unreadable mask", f"{path}: {error}") from None
    if mode in {"RGB", "RGBA"}:
        stored = _indices_of_colours(path, stored[..., :3])
    elif mode == "LA":
        stored = stored[..., 0]
    if stored.max(initial=0) > 255 or stored.min(initial=0) < 0:
        raise _outside(path, stored[(stored > 255) | (stored < 0)])
    mask = new_ids[stored.astype(np.uint8)]
    if mask.min(initial=0) < 0:
        raise _outside(path, stored[mask < 0])
    return mask.astype(np.uint8)


def _outside(path: Path, values: Shaped[np.ndarray, " n"]) -> MaskError:
    several = ", ".join(map(str, np.unique(values)[:5]))
    return MaskError("value outside the classes", f"{path}: holds {several}")


def _codes(colours: UInt8[np.ndarray, "*shape 3"]) -> UInt32[np.ndarray, "*shape"]:
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    return (red << 16) | (green << 8) | blue


def _indices_of_colours(
    path: Path, colours: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w"]:
    palette = _codes(voc_palette())
    order = np.argsort(palette)
    codes = _codes(colours)
    nearest = np.searchsorted(palette[order], codes).clip(max=255)
    found = order[nearest]
    unknown = np.unique(codes[palette[found] != codes])
    if len(unknown):
        first = int(unknown[0])
        colour = (first >> 16, first >> 8 & 255, first & 255)
        raise MaskError(
            "unknown colour",
            f"{path}: {len(unknown)} colours that VOC's palette lacks, e.g. {colour}",
        )
    return found.astype(np.uint8)
