"""A contact sheet: images of a split, each beside its mask."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageOps

from wsss.core.errors import UserError
from wsss.core.files.atomic import write_bytes
from wsss.core.files.id_list import read_list
from wsss.core.images import IGNORE, decode, voc_palette
from wsss.data.layout import find_layout
from wsss.data.listing import open_labels, read_listing
from wsss.data.mask_files import read_mask, renumbering
from wsss.data.prepare import toy_id
from wsss.data.problems import Findings
from wsss.data.reading import read_image
from wsss.data.recipe import FolderData, Split, ToyData, VocData
from wsss.data.toy.scene import generate

_SIDE, _CAPTION, _GAP, _COLUMNS = 192, 16, 8, 4
Sample = tuple[str, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"] | None, list[str]]


def preview(
    recipe: ToyData | VocData | FolderData, split: Split, count: int, out: str | Path
) -> None:
    """Write a PNG with `count` images spread over the split, their masks, ids and labels.

    Masks are drawn over the image in VOC colours, ignored pixels in black; images without a mask
    stand alone. Raises UserError for unreadable files and wrong lists.
    """
    out = Path(out)
    rows = -(-count // _COLUMNS)
    width, height = 2 * _SIDE + _GAP, _SIDE + _CAPTION + _GAP
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP, rows * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for position, (name, image, mask, labels) in enumerate(_samples(recipe, split, count)):
        x = _GAP + position % _COLUMNS * width
        y = _GAP + position // _COLUMNS * height
        sheet.paste(_fit(image), (x, y))
        if mask is not None:
            sheet.paste(_fit(_overlay(image, mask)), (x + _SIDE, y))
        draw.text((x, y + _SIDE + 1), f"{name}: {', '.join(labels) or 'no label'}", fill="black")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    write_bytes(out, buffer.getvalue())


def _samples(recipe: ToyData | VocData | FolderData, split: Split, count: int) -> Iterator[Sample]:
    if isinstance(recipe, ToyData):
        for i in _spread(getattr(recipe, split), count):
            scene = generate(recipe, split, i)
            yield toy_id(split, i), scene.image, scene.mask, _names(recipe, scene.labels)
        return
    layout = find_layout(recipe)
    findings = Findings()
    listing = read_listing(layout, split, open_labels(layout, findings), findings)
    findings.raise_errors()
    listed = {}
    for purpose in (
        "supervision",
        "evaluation",
    ):  # the careful mask last, so that it is the one shown
        if (split, purpose) in layout.masks:
            place = layout.masks[split, purpose]
            listed |= dict.fromkeys(read_list(place.listing), place.folder)
    new_ids = renumbering(recipe.class_names, layout.known)
    for i in _spread(len(listing.ids), count):
        name, content = listing.ids[i], read_image(listing.images[i])
        if isinstance(content, str):
            raise UserError(f"{listing.images[i]}: {content}; replace the file")
        mask = None
        if name in listed:
            mask = read_mask(listed[name] / f"{name}.png", new_ids)
        yield name, decode(content[0]), mask, _names(recipe, listing.labels[i])


def _spread(total: int, count: int) -> list[int]:
    """Up to `count` positions, evenly over 0 … total - 1."""
    return [i * total // min(count, total) for i in range(min(count, total))]


def _names(recipe: ToyData | VocData | FolderData, labels: UInt8[np.ndarray, " c"]) -> list[str]:
    return [recipe.class_names[c] for c in np.flatnonzero(labels)]


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
