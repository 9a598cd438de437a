"""The numbers of a table: mean and standard deviation over seeds of each cell."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import kind, read_evaluation
from wsss.core.metrics import Metric, find_metric, metrics_of
from wsss.core.outputs import kind_of
from wsss.report.notes import metric_notes, seconds_notes, unjudged_notes
from wsss.report.recipe import Column, TableRecipe
from wsss.report.spec import TableSpec

TOTAL, MEMORY = "total", "peak memory, GiB"
# What tables of kind seconds show, in the place of metrics.
COSTS = {name: Metric(name, "", lower_is_better=True) for name in ("seconds", "max_rss_gib")}


@dataclass(frozen=True)
class Cell:
    """Values over seeds in the unit of the JSON files: fractions, seconds or GiB."""

    values: tuple[float, ...] = ()

    @property
    def mean(self) -> float | None:
        """None for a blank cell."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Standard deviation with n − 1; None for fewer than two seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Table:
    """cells[row][column]; `columns` are files or stages, `metrics` what is shown of each.

    shown: the metrics' labels, and which way is better.
    """

    recipe: TableRecipe
    columns: list[str]
    metrics: list[str]
    shown: list[Metric]
    cells: list[list[Cell]]
    notes: list[str]

    def headings(self) -> list[str]:
        """The columns' names, with the metrics where a table of metrics shows several."""
        if self.recipe.kind == "seconds" or len(set(self.metrics)) == 1:
            return self.columns
        pairs = zip(self.columns, self.shown, strict=True)
        return [f"{column} {metric.label}" for column, metric in pairs]


def make_table(spec: TableSpec) -> Table:
    """Read the files of a table and put its numbers and footnotes together.

    Raises UserError for a missing or foreign file, and for an evaluation of another split.
    """
    return _metric_table(spec) if spec.recipe.kind == "metrics" else _seconds_table(spec)


def _metric_table(spec: TableSpec) -> Table:
    recipe = spec.recipe
    columns = [recipe.column(name) for name in recipe.columns]
    read = [
        [
            [_evaluation(Path(p), column, recipe.split) for p in row.cells.get(name, [])]
            for name, column in zip(recipe.columns, columns, strict=True)
        ]
        for row in spec.rows
    ]
    cells = [
        [_cell(cell, column.metric) for cell, column in zip(row, columns, strict=True)]
        for row in read
    ]
    notes = metric_notes(recipe, columns, read, [len(cell.values) for row in cells for cell in row])
    notes += unjudged_notes({row.name: row.unjudged for row in spec.rows})
    files, metrics = [c.file for c in columns], [c.metric for c in columns]
    shown = [find_metric(kind_of(c.file), c.metric) for c in columns]
    return Table(recipe, files, metrics, shown, cells, notes)


def _seconds_table(spec: TableSpec) -> Table:
    cells = []
    for row in spec.rows:
        measured = {  # column → seed → (seconds, GiB) of each job
            column: [[_benchmark(Path(path)) for path in files] for files in row.cells[column]]
            for column in spec.recipe.columns
            if row.cells.get(column)
        }
        seconds = {c: [sum(s for s, _ in jobs) for jobs in m] for c, m in measured.items()}
        seeds = {len(m) for m in measured.values()}
        whole = zip(*seconds.values(), strict=True) if len(seeds) == 1 else ()
        peaks = [
            max((gib for jobs in seed for _, gib in jobs if gib is not None), default=None)
            for seed in (zip(*measured.values(), strict=True) if len(seeds) == 1 else ())
        ]
        line = [Cell(tuple(seconds.get(column, ()))) for column in spec.recipe.columns]
        line.append(Cell(tuple(sum(seed) for seed in whole)))
        line.append(Cell(tuple(peak for peak in peaks if peak is not None)))
        cells.append(line)
    columns = [*spec.recipe.columns, TOTAL, MEMORY]
    metrics = ["seconds"] * (len(columns) - 1) + ["max_rss_gib"]
    notes = seconds_notes(spec.recipe, [len(c.values) for row in cells for c in row[:-1]])
    return Table(spec.recipe, columns, metrics, [COSTS[m] for m in metrics], cells, notes)


def best(cells: Sequence[Cell], metric: Metric) -> float | None:
    """The best mean of a column; None where fewer than two cells could be compared."""
    means = [cell.mean for cell in cells if cell.mean is not None]
    if len(means) < 2:
        return None
    return min(means) if metric.lower_is_better else max(means)


def _evaluation(path: Path, column: Column, split: str) -> dict[str, Any]:
    evaluation = read_evaluation(path, split)
    if kind(evaluation) != kind_of(column.file):
        found = evaluation["evaluated"]["kind"]
        raise UserError(f"{path}: evaluates {found}, the column shows {column.file}; exchange it")
    if column.metric not in (*evaluation["metrics"], "fixed_miou"):
        known = ", ".join(m for m in metrics_of(column.file) if m in evaluation["metrics"])
        raise UserError(f"{path}: has no metric '{column.metric}'; take one of {known}")
    return evaluation


def _cell(evaluations: Sequence[dict[str, Any]], metric: str) -> Cell:
    if metric == "fixed_miou":
        values = [e["fixed"]["metrics"]["miou"] for e in evaluations if e["fixed"]]
    else:
        values = [e["metrics"][metric] for e in evaluations]
    return Cell(tuple(value for value in values if value is not None))


def _benchmark(path: Path) -> tuple[float, float | None]:
    """Seconds and peak GiB of a job; Snakemake writes max_rss in MiB, and 0 or - if unmeasured."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        seconds = statistics.fmean(float(row["s"]) for row in rows)
    except OSError:
        raise UserError(f"{path}: no such file; run the rule that makes it") from None
    except (KeyError, ValueError, statistics.StatisticsError):
        raise UserError(f"{path}: no benchmark of Snakemake (a column s); make it again") from None
    peaks = []
    for row in rows:
        try:
            peaks.append(float(row.get("max_rss") or 0))
        except ValueError:
            continue
    peak = max(peaks, default=0)
    return seconds, peak / 1024 if peak > 0 else None
