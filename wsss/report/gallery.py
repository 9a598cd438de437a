"""A gallery: rows of images, columns of what the stages made of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import read_evaluation
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import ImageReader, MapReader, MapRecord, MaskReader, file_kind
from wsss.core.images import IGNORE, decode
from wsss.core.log import progress
from wsss.core.maps import SALIENT, label_indices, labels_to_ids, upsample
from wsss.report.drawing import (
    Row,
    Tile,
    draw_gallery,
    maps_over,
    mask_over,
    plain,
    saliency_over,
)
from wsss.report.recipe import GalleryRecipe
from wsss.report.selection import choose_images, image_miou
from wsss.report.spec import GalleryColumn, GallerySpec

Mask = UInt8[np.ndarray, "h w"]


@dataclass
class _Column:
    title: str
    reader: MapReader | MaskReader
    threshold: float | None
    above: float | None

    @property
    def is_salient(self) -> bool:
        """Whether it knows foreground and background only."""
        return self.reader.header.classes == SALIENT


def make_gallery(spec: GallerySpec) -> bytes:
    """The PNG of a gallery: image, ground truth (if given), then the spec's columns.

    Masks and class scores are drawn as masks, maps as colour that is clear where they are low, and
    what is not salient dark. With ground truth, each mask (and maps with a threshold) carries its
    mIoU on that image, in percent; for saliency, of foreground and background; for a
    mask with 255, of its other pixels. Shown are images that all files
    hold.

    Raises UserError for files of other splits or classes, and if the files share no image.
    """
    recipe = spec.recipe
    images = ImageReader(spec.images)
    truth = MaskReader(spec.ground_truth) if spec.ground_truth else None
    columns = [_open(column) for column in spec.columns]
    readers = [*([truth] if truth else []), *(column.reader for column in columns)]
    for reader in [images, *readers]:
        if reader.header.classes != SALIENT:
            known = images.header.classes
            require_classes(reader, known, of=spec.images, remedy="give files of one data set")
        if reader.header.split != recipe.split:
            raise UserError(
                f"{reader.paths[0]}: of split {reader.header.split}, the gallery of {recipe.split}"
            )
    ids = [i for i in images.ids if all(i in reader for reader in readers)]
    if not ids:
        raise UserError(f"{spec.images}: shares no image with the columns' files; make them again")
    chosen = _select(recipe, images, ids, truth, columns)
    rows, shown = [], set()
    for image_id in chosen:
        record = images[image_id]
        image = decode(record.data)
        tiles = [Tile(plain(image))]
        if truth is not None:
            mask = truth[image_id]
            tiles.append(Tile(mask_over(image, mask, recipe.alpha)))
            shown |= set(np.unique(mask).tolist())
        for column in columns:
            tile, classes = _draw(column, image_id, image, truth, recipe.alpha)
            tiles.append(tile)
            shown |= classes
        names = [n for n, y in zip(images.header.classes, record.labels, strict=True) if y]
        rows.append(Row(f"{image_id}   {', '.join(names) or 'no label'}", tiles))
    titles = ["image", *(["ground truth"] if truth else []), *(c.title for c in columns)]
    legend = [(i, images.header.classes[i - 1]) for i in sorted(shown - {0, IGNORE})]
    legend += [(IGNORE, "ignored (255)")] if IGNORE in shown else []
    buffer = io.BytesIO()
    corners = any(tile.corner for row in rows for tile in row.tiles)
    note = "In the corner: mIoU over the classes of this image, %." if corners else ""
    draw_gallery(titles, rows, legend, note).save(buffer, format="PNG")
    return buffer.getvalue()


def _open(column: GalleryColumn) -> _Column:
    paths = [column.file] if isinstance(column.file, str) else column.file
    kind = file_kind(paths[0])
    if kind == "images":
        raise UserError(f"{paths[0]}: holds images; a column takes maps or masks")
    threshold = column.threshold
    if column.threshold_from is not None:
        threshold = read_evaluation(Path(column.threshold_from))["threshold"]["value"]
    reader = MaskReader(paths) if kind == "masks" else MapReader(paths)
    if column.above is not None and (kind == "masks" or reader.header.classes == SALIENT):
        raise UserError(f"{paths[0]}: above is for maps of classes, leave it out")
    return _Column(column.title, reader, threshold, column.above)


def _select(
    recipe: GalleryRecipe,
    images: ImageReader,
    ids: list[str],
    truth: MaskReader | None,
    columns: list[_Column],
) -> list[str]:
    if recipe.select == "spread":
        labels = images.labels[[images.index(i) for i in ids]]
        return choose_images(ids, labels, recipe.images, recipe.seed)
    if truth is None or not columns:
        raise UserError(f"select {recipe.select}: ranking images needs ground truth and a column")
    ranked = []
    for image_id in progress(ids, total=len(ids), what=f"find the {recipe.select}"):
        prediction = _prediction(columns[-1], columns[-1].reader[image_id], truth[image_id].shape)
        if prediction is None:
            raise UserError(
                f"column '{columns[-1].title}': ranking images by maps needs a threshold"
            )
        miou = _miou(columns[-1], prediction, truth[image_id])
        if not np.isnan(miou):
            ranked.append((miou if recipe.select == "worst" else -miou, image_id))
    return [image_id for _, image_id in sorted(ranked)[: recipe.images]]


def _draw(
    column: _Column, image_id: str, image: np.ndarray, truth: MaskReader | None, alpha: float
) -> tuple[Tile, set[int]]:
    """A column's tile of one image, and the class ids in it."""
    record = column.reader[image_id]
    prediction = _prediction(column, record, image.shape[:2])
    if column.above is not None:
        return Tile(mask_over(image, prediction, alpha)), set(np.unique(prediction).tolist())
    corner = ""
    if truth is not None and prediction is not None:
        miou = _miou(column, prediction, truth[image_id])
        corner = "" if np.isnan(miou) else f"{100 * miou:.0f}"
    if column.is_salient:
        maps = record.maps if isinstance(record, MapRecord) else (record == 1)[None]
        threshold = column.threshold if isinstance(record, MapRecord) else None
        return Tile(saliency_over(image, maps.astype(np.float32), threshold), corner), set()
    if isinstance(record, MapRecord) and 0 not in record.classes:
        picture = maps_over(image, record.maps, record.classes, alpha, column.threshold)
        return Tile(picture, corner), set(record.classes.tolist())
    return Tile(mask_over(image, prediction, alpha), corner), set(np.unique(prediction).tolist())


def _prediction(column: _Column, record: MapRecord | Mask, size: tuple[int, ...]) -> Mask | None:
    """The mask a record stands for, at the image's size; None for maps without a threshold."""
    if not isinstance(record, MapRecord):
        return record
    large = upsample(record.maps, (size[0], size[1]))
    if 0 in record.classes:
        return record.classes.astype(np.uint8)[large.argmax(0)]
    if column.above is not None:
        below = float(np.nextafter(np.float32(column.above), np.float32(0)))  # reaching it counts
        return labels_to_ids(label_indices(large, below), record.classes)
    if column.threshold is None:
        return None
    return labels_to_ids(label_indices(large, column.threshold), record.classes)


def _miou(column: _Column, prediction: Mask, truth: Mask) -> float:
    if column.is_salient:
        truth = np.where(truth == IGNORE, truth, truth > 0).astype(np.uint8)
    return image_miou(prediction, np.where(prediction == IGNORE, IGNORE, truth).astype(np.uint8))
