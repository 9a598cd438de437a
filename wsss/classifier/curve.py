"""The figure of a training: losses and scores of every epoch, from history.csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wsss.core.errors import UserError
from wsss.core.plots import COLOURS, plain, png

# Each keeps its colour from figure to figure.
SCORES = {"mAP": COLOURS[0], "F1": COLOURS[1], "precision": COLOURS[2], "recall": COLOURS[3]}
VALIDATION = "val_"

History = dict[str, Float64[np.ndarray, " epochs"]]


def curve_figure(history: Path) -> bytes:
    """A PNG: left the losses, and small below the learning rate; right the scores in percent.

    Dashed is the training as it was augmented, solid the held-out images (columns val_…); without
    those the training's lines are solid. Every column but epoch, lr and the scores is a loss or
    a part of it.

    Raises UserError for a file that is not a history, or has no epoch.
    """
    read = read_history(history)
    if "classification" in read and "val_loss" in read:  # the same loss; "loss" is a sum of parts
        read["val_classification"] = read.pop("val_loss")
    epochs = read.pop("epoch")
    rate = read.pop("lr", None)
    scores = {c: v for c, v in read.items() if c.removeprefix(VALIDATION) in SCORES}
    losses = {c: v for c, v in read.items() if c not in scores}
    held_out = any(column.startswith(VALIDATION) for column in read)
    figure = Figure(figsize=(10, 4.4), dpi=150, layout="constrained")
    panels = figure.subplot_mosaic(
        [["losses", "scores"], ["rate", "scores"]], height_ratios=[4, 1.1], width_ratios=[1, 1]
    )
    names = dict.fromkeys(column.removeprefix(VALIDATION) for column in losses)
    *chromatic, black = COLOURS
    colours = {"loss": black}
    for i, name in enumerate(name for name in names if name != "loss"):
        colours[name] = chromatic[i % len(chromatic)]
    _draw(panels["losses"], epochs, losses, colours, held_out, "upper right")
    scores = {c: 100 * v for c, v in scores.items()}
    _draw(panels["scores"], epochs, scores, SCORES, held_out, "lower right")
    panels["losses"].set(title="loss and its parts")
    if all((values[~np.isnan(values)] >= 0).all() for values in losses.values()):
        panels["losses"].set_ylim(bottom=0)
    panels["scores"].set(title="scores, macro over classes", ylabel="%", xlabel="epoch")
    if scores:
        panels["scores"].set_ylim(top=100)
    if rate is not None:
        panels["rate"].plot(epochs, rate, color="0.4", **_marks(epochs))
        panels["rate"].set_ylim(bottom=0)
    panels["rate"].set(xlabel="epoch")
    panels["rate"].set_title("learning rate", fontsize="small")
    panels["rate"].tick_params(labelsize="small")
    for panel in panels.values():
        plain(panel)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return png(figure)


def read_history(path: Path) -> History:
    """The columns of a history.csv, one value per epoch, NaN where a cell is blank."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or []
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row of another length than the first")
        read = {c: np.array([float(row[c] or "nan") for row in rows]) for c in columns}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; train the classifier that writes it") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: not the history of a training ({error})") from None
    if "epoch" not in read or not rows:
        raise UserError(f"{path}: not the history of a training: no column epoch, or no row")
    return read


def _draw(
    panel: Axes,
    epochs: Float64[np.ndarray, " epochs"],
    columns: History,
    colours: dict[str, str],
    held_out: bool,
    legend: str,
) -> None:
    """A line per column; the legend has one entry per name, and what dashed and solid are."""
    for column, values in columns.items():
        name = column.removeprefix(VALIDATION)
        solid = column.startswith(VALIDATION) or not held_out
        style = {"linestyle": "-"} if solid else {"linestyle": "--", "mfc": "white", "alpha": 0.8}
        panel.plot(epochs, values, color=colours[name], **style, **_marks(epochs))
    for name in colours:
        if name in columns or VALIDATION + name in columns:
            panel.plot([], [], color=colours[name], label=name)
    if held_out and columns:
        panel.plot([], [], color="0.4", linestyle="--", label="train")
        panel.plot([], [], color="0.4", label="val")
    if columns:
        panel.legend(frameon=False, fontsize="small", loc=legend)


def _marks(epochs: Float64[np.ndarray, " epochs"]) -> dict[str, str | float]:
    """Dots where they stand apart: a single epoch would not be a line."""
    return {"marker": "o", "markersize": 3.0} if len(epochs) <= 30 else {}
