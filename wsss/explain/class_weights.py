"""How alike the weights of classes are: which ones a classifier sees by the same features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.figure import Figure

from wsss.core.errors import UserError
from wsss.core.figures import png
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


def weights_figure(model: Path) -> bytes:
    """A PNG: the correlation of each two classes' weights as a heat map.

    Raises UserError for a file that is no classifier, or one of a single class.
    """
    trained = load_cam_network(model)
    if len(trained.classes) < 2:
        raise UserError(f"{model}: knows one class; correlation needs two")
    weight = trained.network.head.effective_weight().detach().flatten(1).numpy()
    matrix = correlation(weight)
    count = len(matrix)
    side = 2.2 + 0.42 * count
    figure = Figure(figsize=(side + 0.9, side), dpi=150, layout="constrained")
    panel = figure.subplots()
    picture = panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    panel.set_xticks(range(count), trained.classes, rotation=90)
    panel.set_yticks(range(count), trained.classes)
    panel.set_title(f"between classes: mean |r| {between(matrix):.2f}", fontsize=10)
    if count <= 10:
        for i, j in np.ndindex(matrix.shape):
            dark = abs(matrix[i, j]) > 0.6
            text = f"{matrix[i, j]:.2f}"
            panel.text(j, i, text, ha="center", va="center", fontsize=7, color="w" if dark else "k")
    figure.colorbar(picture, label="correlation of the weights over features")
    return png(figure)
