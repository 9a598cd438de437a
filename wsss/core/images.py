"""Decoding image bytes, and PNG masks with the VOC palette."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from wsss.core.errors import UserError

IGNORE = 255

# What Pillow raises for bytes that are not an image, truncated, damaged, or absurdly large.
DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    Image.DecompressionBombError,
)


def decode(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of encoded JPEG or PNG bytes, C-contiguous and writable, as torch wants it.

    Raises UserError for grey images of 16 or 32 bits, which Pillow would clip at 255.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I") or image.mode == "F":
            raise UserError(f"mode {image.mode}, more than 8 bits a pixel; convert it to 8 bit")
        return np.array(image.convert("RGB"))


def read_png(path: Path) -> tuple[str, np.ndarray]:
    """Pillow's mode and the stored values of a PNG: class ids, palette indices or colours.

    Grey values of 2 and 4 bits, which Pillow stretches to 0…255, are given as they are stored.
    Raises one of DECODING_ERRORS, also for another format by the name of PNG (JPEG changes ids).
    """
    with Image.open(path) as image:
        if image.format != "PNG":
            raise ValueError(f"a {image.format} file by another name; save a PNG")
        mode, values = image.mode, np.asarray(image)
    with path.open("rb") as file:
        bits, colour_type = file.read(26)[24:]
    if colour_type == 0 and bits in (2, 4):
        values = values // (255 // (2**bits - 1))
    return mode, values


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """The PASCAL VOC colour map: bit k of a colour channel comes from bit 3j+channel of the id."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for j in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * j + channel)) & 1) << (7 - j)).astype(np.uint8)
    return colours


def palette_png(mask: UInt8[np.ndarray, "h w"]) -> bytes:
    """An indexed PNG (mode P) with the VOC palette."""
    image = Image.fromarray(mask, mode="P")
    image.putpalette(voc_palette().reshape(-1).tolist())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
