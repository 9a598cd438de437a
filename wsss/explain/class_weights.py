"""How alike the weights of classes are: which ones a classifier sees by the same features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from wsss.core.errors import UserError
from wsss.core.plots import png
from wsss.nn.cam_network import load_cam_network


def correlation(weight: Float[np.ndarray, "c k"]) -> Float64[np.ndarray, "c c"]:
    """Pearson's correlation of the classes' weights over the features, in [−1, 1].

    weight: what turns features into class maps, with kernel usage regularization the effective one.
    NaN for a class whose weights are all the same.
    """
    centred = weight.astype(np.float64) - weight.mean(1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1)
    lengths = np.outer(length, length)
    return np.divide(
        centred @ centred.T, lengths, out=np.full_like(lengths, np.nan), where=lengths > 0
    )


def between(matrix: Float64[np.ndarray, "c c"]) -> float:
    """Mean absolute correlation of two different classes."""
    return float(np.nanmean(np.abs(matrix[~np.eye(len(matrix), dtype=bool)])))


def weights_figure(models: Sequence[Path]) -> bytes:
    """A PNG: the correlation of each two classes' weights as a heat map, side by side for models.

    Titles are the names of the models' folders. Raises UserError for a file that is not a
    classifier, or one of a single class.
    """
    found = [_correlation_of(model) for model in models]
    side = 2.2 + 0.42 * max(len(classes) for classes, _ in found)
    size = (side * len(found) + 0.9, side)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, model, (classes, matrix) in zip(panels, models, found, strict=True):
        name = model.resolve().parent.name
        picture = _draw(
            panel, f"{name}: between classes mean |r| {between(matrix):.2f}", classes, matrix
        )
    figure.colorbar(picture, ax=list(panels), label="correlation of the weights over features")
    return png(figure)


def _correlation_of(model: Path) -> tuple[Sequence[str], Float64[np.ndarray, "c c"]]:
    trained = load_cam_network(model)
    if len(trained.classes) < 2:
        raise UserError(f"{model}: knows one class; correlation needs two")
    weight = trained.network.head.effective_weight().detach().flatten(1).numpy()
    return trained.classes, correlation(weight)


def _draw(
    panel: Axes, title: str, classes: Sequence[str], matrix: Float64[np.ndarray, "c c"]
) -> AxesImage:
    picture = panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    panel.set_xticks(range(len(classes)), classes, rotation=90)
    panel.set_yticks(range(len(classes)), classes)
    panel.set_title(title, fontsize=9)
    if len(classes) <= 10:
        for i, j in np.ndindex(matrix.shape):
            dark = abs(matrix[i, j]) > 0.6
            text = f"{matrix[i, j]:.2f}"
            panel.text(j, i, text, ha="center", va="center", fontsize=7, color="w" if dark else "k")
    return picture
