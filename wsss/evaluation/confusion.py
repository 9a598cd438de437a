"""The confusion matrix of a predicted mask."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int64, Integer

from wsss.core.errors import UserError
from wsss.core.images import IGNORE

PredictedIgnore = Literal["error", "background", "skip"]


def confusion_matrix(
    prediction: Integer[np.ndarray, "h w"],
    ground_truth: Integer[np.ndarray, "height width"],
    num_classes: int,
    ignore_index: int = IGNORE,
    *,
    predicted_ignore: PredictedIgnore = "error",
) -> Int64[np.ndarray, "{num_classes} {num_classes}"]:
    """Counts of pixels: rows are the ground truth's class, columns the predicted class.

    `num_classes` counts the background (21 for VOC). Pixels whose ground truth is `ignore_index`
    are left out, whatever is predicted there. Where the ground truth has a class and the prediction
    is `ignore_index`, "error" raises, "background" counts background, as IRN's evaluation does, and
    "skip" leaves the pixel out.

    Raises UserError for masks of different sizes and for values neither a class nor ignored.
    """
    if prediction.shape != ground_truth.shape:
        raise UserError(
            f"the prediction is {_size(prediction)}, the ground truth {_size(ground_truth)}; "
            "save predictions at the size of the image"
        )
    valid = ground_truth != ignore_index
    if predicted_ignore == "skip":
        valid &= prediction != ignore_index
    truth = ground_truth[valid].astype(np.intp)
    predicted = prediction[valid].astype(np.intp)
    if predicted_ignore == "background":
        predicted[predicted == ignore_index] = 0
    check_classes(truth, num_classes, "ground truth")
    if (
        predicted_ignore == "error"
        and ignore_index >= num_classes
        and (predicted == ignore_index).any()
    ):
        raise UserError(
            f"the prediction holds {ignore_index} (ignored) where the ground truth has a class; "
            'predict a class everywhere, or count it as background (predicted_ignore "background")'
        )
    check_classes(predicted, num_classes, "prediction")
    pairs = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return pairs.astype(np.int64, copy=False).reshape(num_classes, num_classes)


def check_classes(ids: Integer[np.ndarray, " n"], num_classes: int, what: str) -> None:
    """UserError unless every id is a class, i.e. in [0, num_classes)."""
    wrong = ids[(ids < 0) | (ids >= num_classes)]
    if wrong.size:
        raise UserError(
            f"the {what} holds class {wrong[0]}, but there are {num_classes} classes, background "
            f"counted (0 to {num_classes - 1}); check the number of classes and the masks' encoding"
        )


def _size(mask: np.ndarray) -> str:
    return f"{mask.shape[1]}×{mask.shape[0]}"
