import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from wsss.core.errors import UserError
from wsss.core.images import decode, read_png


def grey_png(values, bits):
    """A PNG of grey values with few bits, chunk by chunk: Pillow writes none."""
    height, width = values.shape
    rows = b""
    for row in values:
        stream = "".join(f"{v:0{bits}b}" for v in row)
        stream += "0" * (-len(stream) % 8)
        rows += b"\0" + int(stream, 2).to_bytes(len(stream) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_values_are_read_as_they_are_stored(tmp_path, bits):
    values = np.arange(12).reshape(3, 4) % 2**bits
    (tmp_path / "m.png").write_bytes(grey_png(values, bits))
    _, found = read_png(tmp_path / "m.png")
    np.testing.assert_array_equal(found, values)


def test_a_jpeg_by_the_name_of_png_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "m.png", format="JPEG")
    with pytest.raises(ValueError, match="a JPEG file by another name"):
        read_png(tmp_path / "m.png")


def test_images_of_16_bits_are_refused():
    data = io.BytesIO()
    Image.fromarray(np.full((3, 3), 4000, np.uint16)).save(data, format="PNG")
    with pytest.raises(UserError, match="convert it to 8 bit"):
        decode(data.getvalue())
