"""The figure of mIoU, over- and under-activation against the background threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import read_evaluation
from wsss.core.plots import COLOURS, plain, png


def curve_figure(evaluations: Sequence[Path]) -> bytes:
    """A PNG: left mIoU, right the foreground's FP (solid) and FN (dashed), in percent.

    A dot marks the threshold that was reported, a ring the fixed one nobody tuned. Raises UserError
    for a file without a curve (masks, arg-max of scores).
    """
    read = [read_evaluation(path) for path in evaluations]
    for path, evaluation in zip(evaluations, read, strict=True):
        if evaluation["curve"] is None:
            raise UserError(f"{path}: has no curve, it is of {_kind(evaluation)}; give one of maps")
    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, evaluation) in enumerate(zip(_names(evaluations), read, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        values = {key: _percent(row) for key, row in evaluation["curve"].items()}
        thresholds = np.array(evaluation["curve"]["thresholds"])
        left.plot(thresholds, values["miou"], color=colour, label=name)
        right.plot(thresholds, values["fp"], color=colour)
        right.plot(thresholds, values["fn"], color=colour, linestyle="--")
        chosen, fixed = evaluation["threshold"]["value"], evaluation["fixed"]["threshold"]
        for panel, key in ((left, "miou"), (right, "fp"), (right, "fn")):
            panel.plot(*_point(thresholds, values[key], fixed), "o", color=colour, mfc="white")
            panel.plot(*_point(thresholds, values[key], chosen), "o", color=colour)
        x, y = _point(thresholds, values["miou"], chosen)
        note = f"{y:.1f} at {x:.2f}"
        left.annotate(note, (x, y), (0, 7), textcoords="offset points", ha="center", color=colour)
    left.set(title="mIoU", ylabel="%")
    right.set(title="over-activation (FP) and under-activation (FN)", ylabel="%")
    right.plot([], [], color="0.3", label="FP")
    right.plot([], [], color="0.3", linestyle="--", label="FN")
    right.plot([], [], "o", color="0.3", label="reported threshold")
    right.plot([], [], "o", color="0.3", mfc="white", label="fixed threshold")
    left.margins(y=0.12)
    for panel in (left, right):
        panel.set_xlabel("background threshold")
        panel.set_ylim(bottom=0)
        plain(panel)
        panel.legend(frameon=False, fontsize="small")
    return png(figure)


def _percent(row: list[float | None]) -> np.ndarray:
    return 100 * np.array([np.nan if value is None else value for value in row])


def _point(thresholds: np.ndarray, values: np.ndarray, threshold: float) -> tuple[float, float]:
    i = int(np.argmin(np.abs(thresholds - threshold)))
    return float(thresholds[i]), float(values[i])


def _kind(evaluation: dict[str, Any]) -> str:
    return str(evaluation["evaluated"]["kind"])


def _names(paths: Sequence[Path]) -> list[str]:
    """What distinguishes the files: the parts of their paths that are not all the same."""
    parts = [(*path.parent.parts, path.name.removesuffix(".eval.json")) for path in paths]
    if len(paths) == 1:
        return [parts[0][-1]]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    return ["/".join(p[shared:]) for p in parts]
