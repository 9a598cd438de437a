"""A table's threshold curves: what each experiment's maps give at every background threshold."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import read_evaluation
from wsss.core.outputs import THRESHOLDED
from wsss.core.plots import COLOURS, plain, png
from wsss.report.spec import CurvesSpec

TITLES = {
    "miou": "mIoU",
    "fp": "over-activation (FP), lower is better",
    "fn": "under-activation (FN), lower is better",
}
LINES = ("-", "--", ":", "-.")  # the colours' turns: more experiments than colours


class Curve(NamedTuple):
    """Values in percent at thresholds in [0, 1]; `reported` is the threshold of the tables."""

    thresholds: Float64[np.ndarray, " t"]
    values: dict[str, Float64[np.ndarray, " t"]]
    reported: float


def curves_figure(spec: CurvesSpec) -> bytes:
    """A PNG: for each kind of maps, cam first, mIoU, FP and FN against the threshold.

    A line is an experiment's mean over seeds, the band its standard deviation (n − 1). Dots mark
    each seed's reported threshold, the one that its tables show.

    Raises UserError for a file without a curve, of another split than the table's, for seeds
    without a common threshold, and for a table without maps.
    """
    recipe = spec.recipe
    maps = [name for name in THRESHOLDED if any(row.files.get(name) for row in spec.rows)]
    if not maps:
        raise UserError(f"--spec: no row has maps; evaluate one of {', '.join(THRESHOLDED)}")
    figure = Figure(figsize=(12, 0.7 + 3.4 * len(maps)), dpi=150, layout="constrained")
    grid = figure.subplots(len(maps), len(TITLES), squeeze=False, sharex=True, sharey="col")
    seeds = 0
    for line, name in zip(grid, maps, strict=True):
        for i, row in enumerate(spec.rows):
            curves = [_read(Path(path), recipe.split) for path in row.files.get(name, [])]
            seeds = max(seeds, len(curves))
            look = {
                "color": COLOURS[i % len(COLOURS)],
                "linestyle": LINES[i // len(COLOURS) % len(LINES)],
            }
            for panel, key in zip(line, TITLES, strict=True):
                if curves:
                    _draw(panel, curves, key, look, row.name)
        line[0].set_ylabel(f"{name}, %")
    for panel in grid.flat:  # last: a limit ends the scaling to what is drawn
        panel.set(xlim=(0, 1))
        panel.set_ylim(bottom=0)
        plain(panel)
    for top, bottom, title in zip(grid[0], grid[-1], TITLES.values(), strict=True):
        top.set_title(title)
        bottom.set_xlabel("background threshold")
    handles, labels = _legend(grid)
    handles.append(grid[0][0].plot([], [], "o", color="0.3")[0])
    labels.append("reported threshold" + (", of each seed" if seeds > 1 else ""))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False
    )
    over = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    heading = f"{recipe.title}: " if recipe.title else ""
    figure.suptitle(f"{heading}maps against the threshold on {recipe.split}, {over}")
    return png(figure)


def _read(path: Path, split: str) -> Curve:
    read: dict[str, Any] = read_evaluation(path, split)
    if read["curve"] is None:
        raise UserError(f"{path}: has no curve, it is of {read['evaluated']['kind']}; give maps")
    values = {
        key: 100 * np.array([np.nan if v is None else v for v in read["curve"][key]])
        for key in TITLES
    }
    return Curve(np.array(read["curve"]["thresholds"]), values, read["threshold"]["value"])


def over_seeds(
    curves: list[Curve], key: str
) -> tuple[Float64[np.ndarray, " t"], Float64[np.ndarray, " t"], Float64[np.ndarray, " t"] | None]:
    """Thresholds that all curves have, and there the mean and standard deviation (n − 1).

    None for the standard deviation of one curve. Raises UserError if no threshold is common.
    """
    common = reduce(np.intersect1d, [curve.thresholds for curve in curves])
    if not common.size:
        raise UserError("the seeds' curves share no threshold; evaluate them with one recipe")
    values = np.stack([c.values[key][np.isin(c.thresholds, common)] for c in curves])
    return common, values.mean(0), values.std(0, ddof=1) if len(curves) > 1 else None


def _draw(panel: Axes, curves: list[Curve], key: str, look: dict[str, str], name: str) -> None:
    thresholds, mean, std = over_seeds(curves, key)
    panel.plot(thresholds, mean, label=name, **look)
    if std is not None:
        panel.fill_between(
            thresholds, mean - std, mean + std, color=look["color"], alpha=0.18, linewidth=0
        )
    for curve in curves:
        i = int(np.argmin(np.abs(curve.thresholds - curve.reported)))
        panel.plot(curve.thresholds[i], curve.values[key][i], "o", ms=5, color=look["color"])


def _legend(grid: np.ndarray) -> tuple[list[Any], list[str]]:
    """One entry per experiment, though it may have maps in one row of panels only."""
    found: dict[str, Any] = {}
    for line in grid:
        for handle, label in zip(*line[0].get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
