"""Tiles of a gallery: masks and maps over their image, and the page they stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from wsss.core.images import IGNORE, voc_palette
from wsss.core.maps import upsample

TILE = 240  # the longer side of a tile, pixels
OVER = 2  # tiles are drawn this much larger, then reduced: smooth edges
GAP, MARGIN = 6, 18
INK, PALE = (30, 30, 30), (110, 110, 110)

RGB = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Tile:
    """A picture and a short text for its corner ("" for none)."""

    picture: Image.Image
    corner: str = ""


@dataclass(frozen=True)
class Row:
    """One image: its caption and its tiles, all of one size."""

    caption: str
    tiles: list[Tile]


def plain(image: RGB) -> Image.Image:
    """The image itself at the size of a tile."""
    return _reduce(_enlarge(image))


def mask_over(image: RGB, mask: UInt8[np.ndarray, "h w"], alpha: float) -> Image.Image:
    """Classes in their VOC colours with outlines; 255 in white; background paler than the image."""
    base = _enlarge(image)
    height, width = base.shape[:2]
    large = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    colours = voc_palette().astype(np.float32)
    colours[IGNORE] = 255
    opacity = np.where(large > 0, alpha, 0).astype(np.float32)
    out = _blend(_paler(base), colours[large], opacity)
    out[_edges(large)] = 255
    return _reduce(out)


def maps_over(
    image: RGB,
    maps: Float[np.ndarray, "k y x"],
    classes: Int[np.ndarray, " k"],
    alpha: float,
    threshold: float | None,
) -> Image.Image:
    """Each pixel in the colour of its highest map, as opaque as that map is high (0: clear).

    maps in [0, 1]. With a threshold, the outline of what lies above it.
    """
    base = _enlarge(image)
    pale = _paler(base)
    if not len(maps):
        return _reduce(pale)
    large = upsample(maps, base.shape[:2])
    highest = large.max(0).clip(0, 1)
    winner = large.argmax(0)
    colours = voc_palette().astype(np.float32)[classes][winner]
    out = _blend(pale, colours, alpha * highest)
    if threshold is not None:
        ids = np.where(highest > threshold, np.asarray(classes)[winner], 0)
        out[_edges(ids.astype(np.uint8))] = 255
    return _reduce(out)


def saliency_over(
    image: RGB, maps: Float[np.ndarray, "k y x"], threshold: float | None
) -> Image.Image:
    """The image as dark as saliency is low; maps (1, y, x) in [0, 1], or none: nothing is salient.

    With a threshold, the outline of what lies above it.
    """
    base = _enlarge(image)
    large = np.zeros(base.shape[:2], np.float32)
    if len(maps):
        large = upsample(maps, base.shape[:2])[0].clip(0, 1)
    out = (base * (0.15 + 0.85 * large[..., None])).astype(np.uint8)
    if threshold is not None:
        out[_edges((large > threshold).astype(np.uint8))] = (255, 200, 0)
    return _reduce(out)


def draw_gallery(
    titles: Sequence[str], rows: Sequence[Row], legend: Sequence[tuple[int, str]], note: str = ""
) -> Image.Image:
    """The page: column titles, a caption and tiles per row, the colours of classes, a note."""
    columns = len(titles)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    heights = [max(tile.picture.height for tile in row.tiles) + 30 for row in rows]
    lines = _legend_lines(legend, width - 2 * MARGIN)
    height = 2 * MARGIN + 26 + sum(heights) + 26 * (len(lines) + bool(note))
    page = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    lefts = [MARGIN + i * (TILE + GAP) for i in range(columns)]
    for left, title in zip(lefts, titles, strict=True):
        text = _shorten(title, TILE, _font(15, True))
        draw.text((left + TILE / 2, MARGIN + 8), text, INK, _font(15, True), "mm")
    top = MARGIN + 26
    for row, height in zip(rows, heights, strict=True):
        draw.text((MARGIN, top + 8), row.caption, PALE, _font(12), "lm")
        for left, tile in zip(lefts, row.tiles, strict=True):
            x = left + (TILE - tile.picture.width) // 2
            page.paste(tile.picture, (x, top + 20))
            if tile.corner:
                _corner(draw, (x, top + 20), tile)
        top += height
    for line in lines:
        left = MARGIN
        for class_id, name in line:
            colour = (255, 255, 255) if class_id == IGNORE else tuple(voc_palette()[class_id])
            draw.rectangle((left, top + 6, left + 14, top + 20), tuple(map(int, colour)), PALE)
            draw.text((left + 21, top + 13), name, INK, _font(13), "lm")
            left += _legend_width(name)
        top += 26
    if note:
        draw.text((MARGIN, top + 13), note, PALE, _font(12), "lm")
    return page


def _corner(draw: ImageDraw.ImageDraw, at: tuple[int, int], tile: Tile) -> None:
    x, y = at[0] + tile.picture.width - 5, at[1] + tile.picture.height - 5
    box = draw.textbbox((x, y), tile.corner, _font(12, True), "rd")
    draw.rounded_rectangle((box[0] - 4, box[1] - 3, box[2] + 3, box[3] + 3), 4, (255, 255, 255))
    draw.text((x, y), tile.corner, INK, _font(12, True), "rd")


def _enlarge(image: RGB) -> UInt8[np.ndarray, "height width 3"]:
    height, width = image.shape[:2]
    factor = OVER * TILE / max(height, width)
    size = (max(OVER, round(width * factor)), max(OVER, round(height * factor)))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _reduce(large: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    return Image.fromarray(large).reduce(OVER)


def _paler(image: RGB) -> RGB:
    """Half its colour and a quarter of white, so that the overlay's colours stand out."""
    grey = image.mean(2, keepdims=True, dtype=np.float32)
    return (0.75 * (0.5 * image + 0.5 * grey) + 0.25 * 255).astype(np.uint8)


def _blend(
    image: RGB, colour: Float32[np.ndarray, "h w 3"], opacity: Float32[np.ndarray, "h w"]
) -> RGB:
    opacity = opacity[..., None]
    return (image * (1 - opacity) + colour * opacity).round().astype(np.uint8)


def _edges(mask: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """A line of three pixels along the borders between values."""
    border = np.zeros(mask.shape, bool)
    border[1:] |= mask[1:] != mask[:-1]
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    thick = border.copy()
    thick[:-1] |= border[1:]
    thick[1:] |= border[:-1]
    thick[:, :-1] |= border[:, 1:]
    thick[:, 1:] |= border[:, :-1]
    return thick


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"  # matplotlib brings them
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    while font.getlength(text) > width and len(text) > 2:
        text = text.removesuffix("…")[:-1] + "…"
    return text


def _legend_width(name: str) -> int:
    return 21 + int(_font(13).getlength(name)) + 20


def _legend_lines(legend: Sequence[tuple[int, str]], width: int) -> list[list[tuple[int, str]]]:
    lines: list[list[tuple[int, str]]] = [[]]
    used = 0
    for entry in legend:
        if lines[-1] and used + _legend_width(entry[1]) > width:
            lines.append([])
            used = 0
        lines[-1].append(entry)
        used += _legend_width(entry[1])
    return lines
