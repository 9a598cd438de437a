"""Evaluate masks against ground truth: anybody's PNG masks, or HDF5 mask files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from wsss.core.errors import UserError
from wsss.core.files.pairing import require_classes, require_split
from wsss.core.files.store import MaskReader
from wsss.core.images import IGNORE
from wsss.core.log import progress
from wsss.core.maps import SALIENT
from wsss.core.parallel import imap
from wsss.evaluation.agnostic import AgnosticMasks
from wsss.evaluation.checks import shorten_list
from wsss.evaluation.confusion import confusion_matrix
from wsss.evaluation.mask_source import PngMasks, open_masks
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.evaluation.record import document, mask_threshold


def evaluate_masks(
    predictions: Sequence[Path],
    ground_truth: Sequence[Path],
    recipe: EvaluationRecipe,
    *,
    num_classes: int | None = None,
    ids: Sequence[str] | None = None,
    seed: int | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """The evaluation of masks, JSON-able. Either side: a folder of PNG masks, or HDF5 files.

    num_classes counts the background and may be left out where one side is HDF5. Evaluated are
    `ids`, or else every mask of the ground truth; a folder of ground truth must then hold exactly
    the images of the predictions, while an HDF5 one may cover some of them (VOC train of trainaug).
    Masks of the one class "salient" are scored against every class of an HDF5 ground truth as one.
    With recipe.predicted_ignore "skip", metrics["labelled"] is the share of pixels not skipped.

    Raises one UserError that lists every missing, extra, unreadable, colour or wrong-size mask and
    every one with a value that is not a class.
    """
    predicted, truth = open_masks(predictions), open_masks(ground_truth)
    if predicted.header and predicted.header.classes == SALIENT and truth.header:
        truth = AgnosticMasks(truth.paths)
    classes = _class_names(predicted, truth, num_classes)
    if predicted.header and truth.header:
        require_split(predicted, truth)
    wanted = list(truth.ids if ids is None else ids)
    exact = ids is None and isinstance(truth, PngMasks)
    predicted_at, truth_at = predicted.paths[0], truth.paths[0]
    no_truth = [i for i in wanted if i not in truth]
    no_prediction = [i for i in wanted if i in truth and i not in predicted]
    extra = [i for i in predicted.ids if i not in truth] if exact else []
    remedy = "remove it, or name the images to evaluate in a file (--list)"
    problems = [
        *shorten_list(f"{truth_at}: no mask '", no_truth, "'; it was asked for"),
        *shorten_list(
            f"{predicted_at}: no mask '",
            no_prediction,
            "', but there is ground truth; make it, or name the images to evaluate (--list)",
        ),
        *shorten_list(
            f"{predicted_at}: mask '", extra, f"' has no ground truth in {truth_at}; {remedy}"
        ),
    ]
    both = [i for i in wanted if i in truth and i in predicted]
    count = _MaskCounter(predicted, truth, len(classes), recipe)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    judged = 0
    wrong = []
    for result in progress(imap(count, both, workers), total=len(both), what="evaluate"):
        if isinstance(result, str):
            wrong.append(result)
        else:
            confusion += result[0]
            judged += result[1]
    problems += shorten_list("", wrong)
    if problems:
        raise UserError("\n".join(problems))
    if judged and not confusion.any():  # only where 255 is skipped
        raise UserError(
            f"{predicted_at}: every pixel is 255 where there is ground truth; make the labels again"
        )
    labelled = None
    if recipe.predicted_ignore == "skip":
        labelled = {"labelled": float(confusion.sum() / judged)}
    return document(
        kind="masks",
        files=[Path(path) for path in predicted.paths],
        ground_truth=truth_at,
        header=predicted.header,
        split=next((s.header.split for s in (predicted, truth) if s.header), None),
        classes=classes,
        images=len(both),
        images_in_file=len(predicted),
        threshold=mask_threshold(predicted.header),
        confusion=confusion,
        recipe=recipe,
        seed=seed,
        more_metrics=labelled,
    )


@dataclass
class _MaskCounter:
    """The confusion matrix of one mask and its pixels of ground truth, or what is wrong with it."""

    predicted: PngMasks | MaskReader
    truth: PngMasks | MaskReader
    num_classes: int
    recipe: EvaluationRecipe

    def __call__(self, image_id: str) -> tuple[Int64[np.ndarray, "c c"], int] | str:
        try:
            prediction, truth = self.predicted[image_id], self.truth[image_id]
        except UserError as error:
            return str(error)
        try:
            ignored = self.recipe.predicted_ignore
            confusion = confusion_matrix(
                prediction, truth, self.num_classes, predicted_ignore=ignored
            )
            return confusion, int((truth != IGNORE).sum())
        except UserError as error:
            return f"{self.predicted.paths[0]}: '{image_id}': {error}"


def _class_names(
    predicted: PngMasks | MaskReader, truth: PngMasks | MaskReader, num_classes: int | None
) -> tuple[str, ...]:
    named = [source for source in (predicted, truth) if source.header]
    if len(named) == 2:
        known, at = truth.header.classes, truth.paths[0]
        require_classes(predicted, known, of=at, remedy="give files of one data set")
    if named:
        names = ("background", *named[0].header.classes)
        if num_classes not in (None, len(names)):
            raise UserError(
                f"{named[0].paths[0]}: has {len(names)} classes with the background, "
                f"not {num_classes}; leave --num-classes out"
            )
        return names
    if num_classes is None:
        raise UserError("PNG masks do not say how many classes there are; give --num-classes")
    if not 2 <= num_classes <= 255:
        raise UserError(f"{num_classes} classes; give 2 to 255, the background counted (VOC: 21)")
    return ("background", *(f"class {i}" for i in range(1, num_classes)))
