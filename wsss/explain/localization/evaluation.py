"""Maps scored as localization: boxes and pixels against ground-truth masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int64, UInt8

from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import Evaluated, Evaluation, Threshold
from wsss.core.files.evaluation_file import in_percent, number_or_null, read_evaluation
from wsss.core.files.pairing import require_classes, require_split
from wsss.core.files.store import MapReader, MapRecord, MaskReader
from wsss.core.images import IGNORE
from wsss.core.log import progress
from wsss.core.metrics import find_metric
from wsss.core.software import commit
from wsss.explain.localization.box_accuracy import DELTAS, BoxAccuracies, BoxAccuracy
from wsss.explain.localization.boxes import (
    boxes_of_each,
    resize_boxes,
    score_map,
    share_of_reference,
)
from wsss.explain.localization.peak_iou import IouCurves, PeakIou
from wsss.explain.localization.pixel_ap import PixelAP, PrecisionRecall
from wsss.explain.localization.pointing_game import Pointing, PointingGame
from wsss.explain.recipe import LocalizationRecipe


def localize(
    recipe: LocalizationRecipe,
    maps: Sequence[Path],
    masks: Path,
    *,
    percentile_from: Path | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The localization scores of a maps file (or its shards), JSON-able.

    One map for each class that an image's mask shows, as the benchmark of Choe et al. (2020) has
    one per image; a class without a map, which the classifier missed, counts as a map of zeros.
    Boxes of the ground truth are those around the connected parts (8 neighbours) of the class in
    the mask: touching objects share one. Everything is at recipe.side².

    Several percentiles in the recipe: maps of train are scored by each, and the scores returned
    belong to the first with the highest MaxBoxAccV2. Maps of another split are scored by the
    percentile that percentile_from chose, the scores of the same maps of train.

    Raises UserError for images without maps, other classes or splits, masks without a class, and
    where percentile_from is missing, needless, or not of train.
    """
    explained, truth = MapReader(maps), MaskReader(masks)
    known = explained.header.classes
    require_classes(truth, known, of=maps[0], remedy="give files of one data set")
    require_split(truth, explained)
    missing = [name for name in truth.ids if name not in explained]
    if missing:
        raise UserError(f"{maps[0]}: no maps of '{missing[0]}', which has a mask; explain all")
    percentiles = _percentiles(recipe, explained.header.split, percentile_from)
    size = (recipe.side, recipe.side)
    boxes = [BoxAccuracy(recipe.step) for _ in percentiles]
    peaks = [PeakIou() for _ in percentiles]
    pixels = PixelAP()
    pointing = PointingGame(len(explained.header.classes), recipe.tolerance)
    for name in progress(truth.ids, total=len(truth.ids), what="localize"):
        mask, record = truth[name], explained[name]
        for class_id, inside in _class_masks(mask):
            scores = score_map(_map_of(record, class_id), size)
            objects = resize_boxes(part_boxes(inside), mask.shape, size)
            wanted = np.where(mask == IGNORE, mask, inside).astype(np.uint8)
            wanted = cv2.resize(wanted, size, interpolation=cv2.INTER_NEAREST)
            found = boxes_of_each(scores, boxes[0].thresholds, percentiles)
            for i, percentile in enumerate(percentiles):
                boxes[i].count(found[i], objects)
                peaks[i].update(share_of_reference(scores, percentile), wanted)
            pixels.update(scores, wanted)
            pointing.update(scores, class_id - 1, wanted == 1)
    accuracies = [each.result() for each in boxes]
    if not accuracies[0].pairs:
        raise UserError(f"{masks}: shows no class; give masks with class ids")
    best = int(np.argmax([each.max_box_acc_v2 for each in accuracies]))
    chosen = {"value": percentiles[best], "how": "by recipe", "source": None, "tried": None}
    if recipe.percentiles is not None:
        among = f"best MaxBoxAccV2 of {', '.join(f'{p:g}' for p in recipe.percentiles)}"
        chosen["how"] = f"{among} on {'train' if percentile_from else 'this split'}"
        chosen["source"] = str(percentile_from) if percentile_from else None
        tried = zip(percentiles, accuracies, peaks, strict=True)
        chosen["tried"] = None if percentile_from else [_scores_of(*each) for each in tried]
    scored = (accuracies[best], pixels.result(), peaks[best].result(), pointing.result())
    return _document(recipe, explained, maps, masks, len(truth.ids), scored, chosen, seed)


def _percentiles(
    recipe: LocalizationRecipe, split: str, percentile_from: Path | None
) -> tuple[float, ...]:
    """Those to score by: the recipe's, or the one that was chosen on train."""
    listed = recipe.percentiles
    if listed is None:
        if percentile_from is not None:
            raise UserError(
                "--percentile-from: the recipe has no percentiles to choose from; list some, or "
                "leave it out"
            )
        return (recipe.percentile,)
    if percentile_from is None:
        if split != "train":
            raise UserError(
                f"the recipe has percentiles to choose from, and the maps are of {split}; give the "
                "scores of the same maps of train as --percentile-from"
            )
        return listed
    read = read_evaluation(percentile_from, "train")
    value = (read.get("percentile") or {}).get("value")
    if value not in listed:
        raise UserError(
            f"{percentile_from}: chose percentile {value}, none of the recipe's; score the maps of "
            "train by this recipe"
        )
    return (value,)


def _scores_of(percentile: float, boxes: BoxAccuracies, peak: PeakIou) -> dict[str, float | None]:
    return {
        "percentile": percentile,
        "max_box_acc": boxes.max_box_acc / 100,
        "max_box_acc_v2": boxes.max_box_acc_v2 / 100,
        "peak_iou": number_or_null(peak.result().pooled.peak / 100),
    }


def part_boxes(inside: Bool[np.ndarray, "h w"]) -> Int64[np.ndarray, "n 4"]:
    """(x0, y0, x1, y1), inclusive, of each part whose pixels touch, corners too."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    x, y, w, h = stats[1:, :4].astype(np.int64).T  # the first is the background
    return np.stack([x, y, x + w - 1, y + h - 1], 1)


def _class_masks(mask: UInt8[np.ndarray, "h w"]) -> Iterator[tuple[int, Bool[np.ndarray, "h w"]]]:
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
    scored: tuple[BoxAccuracies, PrecisionRecall, IouCurves, Pointing],
    percentile: dict[str, Any],
    seed: int | None,
) -> dict[str, Any]:
    about = explained.header.extra or {}
    accuracy, pixels, peak, pointing = scored
    metrics = {
        "max_box_acc": accuracy.max_box_acc / 100,
        "max_box_acc_v2": accuracy.max_box_acc_v2 / 100,
        "pxap": pixels.px_ap / 100,
        "peak_iou": peak.pooled.peak / 100,
        "peak_iou_threshold": peak.pooled.threshold,
        "pointing": pointing.mean / 100,
    }
    evaluation = Evaluation(
        evaluated=Evaluated(
            kind="localization",
            files=[str(path) for path in maps],
            made_by=explained.header.source(),
        ),
        ground_truth=str(masks),
        split=explained.header.split,
        images=images,
        pairs=accuracy.pairs,
        classes=list(explained.header.classes),
        threshold=Threshold(value=None, how="best on this split, for each figure"),
        tta=about.get("tta"),
        crf=None,
        image_labels=about.get("image_labels"),
        seed=seed,
        commit=commit(),
        recipe=None,
        localization=recipe.model_dump(mode="json"),
        metrics={name: number_or_null(value) for name, value in metrics.items()},
        thresholds={
            "max_box_acc": accuracy.threshold,
            "max_box_acc_v2": dict(
                zip(map(str, DELTAS), accuracy.thresholds_v2.tolist(), strict=True)
            ),
            "peak_iou_mean": number_or_null(peak.mean.threshold),
        },
        peak_iou_mean=number_or_null(peak.mean.peak / 100),
        fixed=None,
        curve=None,
        percentile=percentile,
    )
    return evaluation.document()


def one_line(read: dict[str, Any]) -> str:
    """The numbers in %, for the log."""
    names = ("max_box_acc", "max_box_acc_v2", "pxap", "peak_iou")
    values = {find_metric("localization", name).label: read["metrics"][name] for name in names}
    return f"{in_percent(values)} over {read['pairs']} objects' classes"
