"""A contact sheet: images of a split, each next to its mask."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageOps

from wsss.core.errors import UserError
from wsss.core.files.atomic import write_bytes
from wsss.core.images import IGNORE, voc_palette
from wsss.data.recipe import Data, Split

_SIDE, _CAPTION, _GAP, _COLUMNS = 192, 16, 8, 4


def preview(recipe: Data, split: Split, count: int, out: str | Path) -> None:
    """Write a PNG with `count` images spread over the split, their masks, ids and labels.

    Masks are drawn over the image in VOC colours, ignored pixels in black; images without a mask
    stand alone. Raises UserError for unreadable files and wrong lists.
    """
    out = Path(out)
    rows = -(-count // _COLUMNS)
    width, height = 2 * _SIDE + _GAP, _SIDE + _CAPTION + _GAP
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP, rows * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for position, (name, image, mask, labels) in enumerate(recipe.samples(split, count)):
        x = _GAP + position % _COLUMNS * width
        y = _GAP + position // _COLUMNS * height
        sheet.paste(_fit(image), (x, y))
        if mask is not None:
            sheet.paste(_fit(_overlay(image, mask)), (x + _SIDE, y))
        classes = ", ".join(recipe.class_names[c] for c in np.flatnonzero(labels))
        draw.text((x, y + _SIDE + 1), f"{name}: {classes or 'no label'}", fill="black")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    write_bytes(out, buffer.getvalue())


def _overlay(
    image: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    colours = voc_palette()
    colours[IGNORE] = 0
    if mask.shape != image.shape[:2]:
        raise UserError(f"mask {mask.shape}, image {image.shape[:2]}: sizes differ; run validate")
    strength = np.where(mask == 0, 0.15, 0.65)[..., None]
    return np.rint((1 - strength) * image + strength * colours[mask]).astype(np.uint8)


def _fit(image: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    resampling = Image.Resampling.NEAREST if max(image.shape) < _SIDE else Image.Resampling.BILINEAR
    return ImageOps.contain(Image.fromarray(image), (_SIDE - 4, _SIDE - 4), resampling)
