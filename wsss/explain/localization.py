"""Maps scored as localization: boxes and pixels against ground-truth masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int64, UInt8

from wsss.core.command import commit, progress
from wsss.core.errors import UserError
from wsss.core.evaluation_file import FORMAT, VERSION
from wsss.core.images import IGNORE
from wsss.core.store import MapReader, MapRecord, MaskReader
from wsss.explain.box_accuracy import DELTAS, BoxAccuracy
from wsss.explain.boxes import resize_boxes, score_map
from wsss.explain.peak_iou import PeakIou
from wsss.explain.pixel_ap import PixelAP
from wsss.explain.pointing_game import PointingGame
from wsss.explain.recipe import LocalizationRecipe


def localize(
    recipe: LocalizationRecipe, maps: Sequence[Path], masks: Path, *, seed: int | None = None
) -> dict[str, Any]:
    """The localization scores of a maps file (or its shards), JSON-able.

    One map for each class that an image's mask shows, as the benchmark of Choe et al. (2020) has
    one an image; a class without a map, which the classifier missed, counts as a map of zeros.
    Boxes of the ground truth are those around the connected parts (8 neighbours) of the class in
    the mask: touching objects share one. Everything is at recipe.side².

    Raises UserError for images without maps, other classes or splits, and masks without a class.
    """
    explained, truth = MapReader(maps), MaskReader(masks)
    if explained.header.classes != truth.header.classes:
        raise UserError(
            f"{masks}: classes {', '.join(truth.header.classes)}, but {maps[0]} has "
            f"{', '.join(explained.header.classes)}; give files of one data set"
        )
    if explained.header.split != truth.header.split:
        raise UserError(
            f"{masks}: of split {truth.header.split}, but {maps[0]} of {explained.header.split}"
        )
    missing = [name for name in truth.ids if name not in explained]
    if missing:
        raise UserError(f"{maps[0]}: no maps of '{missing[0]}', which has a mask; explain all")
    size = (recipe.side, recipe.side)
    boxes = BoxAccuracy(recipe.step, recipe.percentile)
    pixels, peak = PixelAP(), PeakIou()
    pointing = PointingGame(len(explained.header.classes), recipe.tolerance)
    for name in progress(truth.ids, total=len(truth.ids), what="localize"):
        mask, record = truth[name], explained[name]
        for class_id, inside in _present(mask):
            scores = score_map(_map_of(record, class_id), size)
            boxes.update(scores, resize_boxes(part_boxes(inside), mask.shape, size))
            wanted = np.where(mask == IGNORE, mask, inside).astype(np.uint8)
            wanted = cv2.resize(wanted, size, interpolation=cv2.INTER_NEAREST)
            pixels.update(scores, wanted)
            peak.update(scores, wanted)
            pointing.update(scores, class_id - 1, wanted == 1)
    if not boxes.pairs:
        raise UserError(f"{masks}: shows no class; give masks with class ids")
    counted = (boxes, pixels, peak, pointing)
    return _document(recipe, explained, maps, masks, len(truth.ids), counted, seed)


def part_boxes(inside: Bool[np.ndarray, "h w"]) -> Int64[np.ndarray, "n 4"]:
    """(x0, y0, x1, y1), inclusive, of each part whose pixels touch, corners too."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    x, y, w, h = stats[1:, :4].astype(np.int64).T  # the first is the background
    return np.stack([x, y, x + w - 1, y + h - 1], 1)


def _present(mask: UInt8[np.ndarray, "h w"]) -> Iterator[tuple[int, Bool[np.ndarray, "h w"]]]:
    for class_id in np.unique(mask).tolist():
        if class_id not in (0, IGNORE):
            yield class_id, mask == class_id


def _map_of(record: MapRecord, class_id: int) -> np.ndarray:
    place = np.flatnonzero(record.classes == class_id)
    return record.maps[place[0]] if len(place) else np.zeros((1, 1), np.float16)


def _document(
    recipe: LocalizationRecipe,
    explained: MapReader,
    maps: Sequence[Path],
    masks: Path,
    images: int,
    counted: tuple[BoxAccuracy, PixelAP, PeakIou, PointingGame],
    seed: int | None,
) -> dict[str, Any]:
    about = explained.header.extra or {}
    accuracy, pixels, peak, pointing = (part.result() for part in counted)
    metrics = {
        "max_box_acc": accuracy.max_box_acc / 100,
        "max_box_acc_v2": accuracy.max_box_acc_v2 / 100,
        "pxap": pixels.px_ap / 100,
        "peak_iou": peak.pooled.peak / 100,
        "peak_iou_threshold": peak.pooled.threshold,
        "pointing": pointing.mean / 100,
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "evaluated": {
            "kind": "localization",
            "files": [str(path) for path in maps],
            "made_by": explained.header.source(),
        },
        "ground_truth": str(masks),
        "split": explained.header.split,
        "images": images,
        "pairs": accuracy.pairs,
        "classes": list(explained.header.classes),
        "threshold": {"value": None, "how": "best on this split, for each figure", "source": None},
        "tta": about.get("tta"),
        "crf": None,
        "image_labels": about.get("image_labels"),
        "seed": seed,
        "commit": commit(),
        "recipe": None,
        "localization": recipe.model_dump(mode="json"),
        "metrics": {k: None if math.isnan(v) else float(v) for k, v in metrics.items()},
        "thresholds": {
            "max_box_acc": accuracy.threshold,
            "max_box_acc_v2": dict(
                zip(map(str, DELTAS), accuracy.thresholds_v2.tolist(), strict=True)
            ),
            "peak_iou_mean": peak.mean.threshold,
        },
        "peak_iou_mean": peak.mean.peak / 100,
        "fixed": None,
        "curve": None,
    }


def one_line(read: dict[str, Any]) -> str:
    """The figures in %, for the log."""
    names = {"max_box_acc": "MaxBoxAcc", "max_box_acc_v2": "MaxBoxAccV2", "pxap": "PxAP"}
    shown = ", ".join(f"{label} {100 * read['metrics'][key]:.1f}" for key, label in names.items())
    peak = 100 * read["metrics"]["peak_iou"]
    return f"{shown}, peak IoU {peak:.1f} over {read['pairs']} objects' classes"
