"""Reading image files: their bytes as they are, checked by decoding them whole."""

from __future__ import annotations

from pathlib import Path

from wsss.core.errors import UserError
from wsss.core.images import DECODING_ERRORS, decode


def read_image(path: Path) -> tuple[bytes, tuple[int, int]] | str:
    """A file's bytes and size (H, W), EXIF orientation ignored; or why it cannot be decoded."""
    try:
        data = path.read_bytes()
        height, width, _ = decode(data).shape
    except UserError as error:
        return str(error)
    except DECODING_ERRORS as error:
        # Pillow names the buffer's address where it knows no file name.
        message = str(error)
        if "cannot identify" in str(error):
            message = "not an image that can be read"
        return message
    return data, (height, width)
