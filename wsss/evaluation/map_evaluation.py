"""Evaluate a maps file against ground truth: at every threshold, or by arg-max of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int64, UInt8

from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import Fixed, Threshold
from wsss.core.files.evaluation_file import read_evaluation, train_threshold
from wsss.core.files.pairing import require_classes, require_split
from wsss.core.files.store import ImageReader, MapReader, MaskReader
from wsss.core.log import progress
from wsss.core.maps import SALIENT, upsample
from wsss.core.parallel import imap
from wsss.evaluation.agnostic import AgnosticMasks
from wsss.evaluation.checks import shorten_list
from wsss.evaluation.confusion import confusion_matrix
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.evaluation.record import curve_numbers, document, numbers
from wsss.evaluation.saliency_measures import Measure, summary
from wsss.evaluation.salient_background import SalientBackground
from wsss.evaluation.thresholds import Sweep


def evaluate_maps(
    maps: Sequence[Path],
    masks: Path,
    recipe: EvaluationRecipe,
    *,
    threshold_from: Path | None = None,
    image_labels: Path | None = None,
    saliency: Sequence[Path] = (),
    seed: int | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """The evaluation of a maps file (or its shards) on the images of a masks file, JSON-able.

    Maps of foreground classes are scored at every threshold of the recipe, at the fixed one, and at
    the threshold of `threshold_from`, the evaluation of the same maps on train. The last one is
    reported, or without it the best on these very images. Maps with a background channel are
    arg-max'ed; with `image_labels`, an images file, only over the background and each image's own.
    With `saliency`, a saliency file of the same images (or its shards), the background is what it
    says, by recipe.saliency_background; its thresholds are then those tried.
    Maps of the one class "salient" are scored against every class of the masks as one, and in
    `metrics` also have mae, f_beta and s_measure.

    Raises UserError for images without maps, other classes or sizes, or a threshold_from that
    is not of maps on train.
    """
    reader = (
        SalientBackground(maps, saliency, recipe.saliency_background)
        if saliency
        else MapReader(maps)
    )
    salient = reader.header.classes == SALIENT
    truth = AgnosticMasks(masks) if salient else MaskReader(masks)
    known = reader.header.classes
    require_classes(truth, known, of=maps[0], remedy="give files of one data set")
    require_split(reader, truth)
    ids = truth.ids
    _check_ids(ids, reader, maps[0])
    classes = ("background", *truth.header.classes)
    shared = dict(
        files=[*maps, *saliency],
        ground_truth=masks,
        header=reader.header,
        split=reader.header.split,
        classes=classes,
        images=len(ids),
        images_in_file=len(reader),
        recipe=recipe,
        seed=seed,
        saliency=_background(reader),
    )
    if 0 in reader[ids[0]].classes:
        if threshold_from is not None:
            raise UserError(
                f"{maps[0]}: holds scores with a background channel; leave --threshold-from out"
            )
        labels = None if image_labels is None else _labels(image_labels, reader, maps[0])
        count = _ScoreCounter(reader, truth, len(classes), labels)
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        for counts in progress(imap(count, ids, workers), total=len(ids), what="evaluate"):
            confusion += counts
        return document(
            kind="scores",
            threshold=Threshold(value=None, how="none: arg-max of scores"),
            confusion=confusion,
            image_labels=None if labels is None else "given",
            **shared,
        )

    if image_labels is not None:
        raise UserError(f"{maps[0]}: has maps of each image's labels; leave --image-labels out")
    trained = None
    if threshold_from is not None:
        trained = train_threshold(threshold_from)
        if ("saliency" in read_evaluation(threshold_from)) != bool(saliency):
            raise UserError(
                f"{threshold_from}: was made {'without' if saliency else 'with'} --saliency, which "
                "decides what its threshold means; give the evaluation of the same files on train"
            )
    extra = [recipe.fixed_threshold] + ([] if trained is None else [trained])
    sweep = Sweep(np.union1d(recipe.thresholds(), extra), len(classes))
    count = _MapCounter(reader, truth, sweep)
    for present, counts in progress(imap(count, ids, workers), total=len(ids), what="evaluate"):
        sweep.add(present, counts)
    curve = sweep.curve()
    if trained is None:
        chosen = Threshold(value=curve.best()[0], how="best on this split")
    else:
        chosen = Threshold(value=trained, how="chosen on train", source=str(threshold_from))
    at_chosen = int(np.flatnonzero(curve.thresholds == chosen.value)[0])
    of_saliency = None
    if isinstance(truth, AgnosticMasks):
        of_saliency = summary(list(imap(Measure(reader, truth), ids, workers)))
    return document(
        kind="maps",
        threshold=chosen,
        confusion=curve.confusion[at_chosen],
        fixed=Fixed(
            threshold=recipe.fixed_threshold, metrics=numbers(curve.at(recipe.fixed_threshold))
        ),
        curve=curve_numbers(curve),
        more_metrics=of_saliency,
        **shared,
    )


def _background(reader: MapReader) -> dict[str, Any] | None:
    """What saliency was the background, if any was."""
    if not isinstance(reader, SalientBackground):
        return None
    return reader.saliency.header.source() | {"background": reader.how}


@dataclass
class _MapCounter:
    """What a worker does for an image id: see `Sweep.count`."""

    maps: MapReader
    masks: MaskReader
    sweep: Sweep

    def __call__(self, image_id: str) -> tuple[Int[np.ndarray, " k"], Int64[np.ndarray, "c m b"]]:
        record, truth = self.maps[image_id], self.masks[image_id]
        _check_size(self.maps.paths[0], image_id, record.size, truth.shape)
        if 0 in record.classes:
            raise _mixed_channels(self.maps.paths[0], image_id)
        try:
            return record.classes, self.sweep.count(record.maps, record.classes, truth)
        except UserError as error:
            raise UserError(f"{self.maps.paths[0]}: '{image_id}': {error}") from None


@dataclass
class _ScoreCounter:
    """The confusion matrix of the arg-max over an image's upsampled scores, or over some of them.

    labels: image-level labels in {0, 1}, class 1 first; None: every class may be predicted.
    """

    maps: MapReader
    masks: MaskReader
    num_classes: int
    labels: dict[str, UInt8[np.ndarray, " c"]] | None = None

    def __call__(self, image_id: str) -> Int64[np.ndarray, "c c"]:
        record, truth = self.maps[image_id], self.masks[image_id]
        _check_size(self.maps.paths[0], image_id, record.size, truth.shape)
        if 0 not in record.classes:
            raise _mixed_channels(self.maps.paths[0], image_id)
        scores, classes = record.maps, record.classes
        if self.labels is not None:
            allowed = np.insert(self.labels[image_id].astype(bool), 0, True)[classes]
            scores, classes = scores[allowed], classes[allowed]
        try:
            prediction = arg_max(scores, classes, truth.shape)
            return confusion_matrix(prediction, truth, self.num_classes)
        except UserError as error:
            raise UserError(f"{self.maps.paths[0]}: '{image_id}': {error}") from None


def arg_max(
    scores: Float[np.ndarray, "k h w"], classes: Int[np.ndarray, " k"], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    """The class id of the highest upsampled score, the first of several; K is at least 1."""
    # One channel at a time stays in the cache, and 81 classes of a large image out of memory's way.
    best = upsample(scores[:1], size)[0]
    ids = np.full(size, classes[0], np.uint8)
    for channel in range(1, len(scores)):
        score = upsample(scores[channel : channel + 1], size)[0]
        np.copyto(ids, np.uint8(classes[channel]), where=score > best)
        np.maximum(best, score, out=best)
    return ids


def _labels(images: Path, maps: MapReader, path: Path) -> dict[str, UInt8[np.ndarray, " c"]]:
    with ImageReader(images) as reader:
        require_classes(
            reader,
            maps.header.classes,
            of=path,
            remedy="give the images that the maps were made from",
        )
        labels = dict(zip(reader.ids, reader.labels, strict=True))
    missing = [i for i in maps.ids if i not in labels]
    if missing:
        raise UserError(
            "\n".join(shorten_list(f"{images}: no image of '", missing, f"' of {path}"))
        )
    return labels


def _check_ids(ids: list[str], reader: MapReader, path: Path) -> None:
    if not ids:
        raise UserError(f"{path}: no ground truth to evaluate on; the masks file is empty")
    missing = [i for i in ids if i not in reader]
    if missing:
        raise UserError(
            "\n".join(shorten_list(f"{path}: no maps of '", missing, "', which has a mask"))
        )


def _check_size(path: Path, image_id: str, size: tuple[int, int], shape: tuple[int, ...]) -> None:
    if tuple(size) != tuple(shape):
        raise UserError(
            f"{path}: '{image_id}' is {size[1]}×{size[0]}, its ground truth {shape[1]}×{shape[0]}; "
            "one of them was made from other images, make it again"
        )


def _mixed_channels(path: Path, image_id: str) -> UserError:
    return UserError(
        f"{path}: '{image_id}' and others differ in having a background channel; make it again"
    )
