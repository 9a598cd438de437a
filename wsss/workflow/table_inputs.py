"""Tables and their curves: the files that each cell is read from, and the spec that names them."""

from __future__ import annotations

from typing import Any

from wsss.core.outputs import THRESHOLDED
from wsss.core.recipe import canonical_json
from wsss.report.recipe import TableRecipe
from wsss.report.spec import pack
from wsss.workflow import tree
from wsss.workflow.config import Config
from wsss.workflow.experiment import Experiment
from wsss.workflow.experiment_outputs import (
    eval_path,
    has_curve,
    is_direct,
    is_made,
    made_eval_path,
    owner,
)

# What one seed of a cell is read from: an eval.json, or the benchmark files of jobs.
CellFiles = str | list[str] | None


def table_rows(config: Config, name: str) -> list[dict[str, Any]]:
    """Per row of a table: its experiment, the files of its cells per seed, and what is unjudged.

    UserError if the configuration has no such table.
    """
    table = config.entry("tables", name)
    rows = []
    for row in table.experiments:
        experiment = config.experiments[row]
        cells: dict[str, list[CellFiles]] = {}
        unjudged: list[str] = []
        for column in table.columns:
            files = [_cell_files(config, table, experiment, seed, column) for seed in config.seeds]
            if any(files):
                cells[column] = files
            elif table.kind == "metrics":
                shown = table.column(column).file
                if made_eval_path(config, experiment, config.seeds[0], shown, table.split):
                    unjudged.append(column)
        rows.append({"name": row, "cells": cells, "unjudged": unjudged})
    return rows


def table_files(config: Config, name: str) -> list[str]:
    """Every file that a table reads, each once."""
    cells = [files for row in table_rows(config, name) for files in row["cells"].values()]
    return list(dict.fromkeys(_flatten(cells)))  # columns may show metrics of one file


def table_spec(config: Config, name: str) -> str:
    """A table's recipe and the files of its cells, as canonical JSON, packed if long."""
    recipe = config.entry("tables", name).model_dump(mode="json")
    return pack(canonical_json({"recipe": recipe, "rows": table_rows(config, name)}))


def curve_rows(config: Config, name: str) -> list[dict[str, Any]]:
    """Per row of a table of metrics: its experiment, and the eval.json files of its maps."""
    table = config.entry("tables", name)
    shown = {table.column(column).file for column in table.columns}
    rows = []
    for row in table.experiments if table.kind == "metrics" else ():
        experiment = config.experiments[row]
        files = {
            maps: [eval_path(config, experiment, s, maps, table.split) for s in config.seeds]
            for maps in THRESHOLDED
            if maps in shown and has_curve(config, maps)
        }
        files = {maps: paths for maps, paths in files.items() if any(paths)}
        rows.append({"name": row, "files": files})
    return rows


def curve_files(config: Config, name: str) -> list[str]:
    """Every file that a table's figure of threshold curves reads."""
    return _flatten([list(row["files"].values()) for row in curve_rows(config, name)])


def curves_spec(config: Config, name: str) -> str:
    """A table's recipe and the evaluations of its maps, as canonical JSON, packed if long."""
    recipe = config.entry("tables", name).model_dump(mode="json")
    return pack(canonical_json({"recipe": recipe, "rows": curve_rows(config, name)}))


def has_curves(config: Config, name: str) -> bool:
    """Whether a table has a figure of threshold curves."""
    return any(row["files"] for row in curve_rows(config, name))


def _cell_files(
    config: Config, table: TableRecipe, experiment: Experiment, seed: int, column: str
) -> CellFiles:
    if table.kind == "metrics":
        return eval_path(config, experiment, seed, table.column(column).file, table.split)
    return _benchmark_files(config, experiment, seed, column, table.split)


def _benchmark_files(
    config: Config, experiment: Experiment, seed: int, column: str, split: str
) -> list[str]:
    """The benchmark files of the jobs of a stage, or of a dense CRF such as "cam.crf-labels"."""
    shards = tree.shards(config.shards)
    if ".crf-" in column:
        name = column.partition(".crf-")[0]
        if not is_made(config, experiment, name):
            return []
        return tree.timed_crf(owner(config, experiment, name), seed, column, split, shards)
    if column == "classifier" and experiment.classifier:
        # With the ordinary classifiers that its training needs first.
        return [
            file
            for needed in config.classifiers(experiment.classifier)
            for file in tree.benchmark_files(
                experiment.model_copy(update={"classifier": needed}), seed, column, shards
            )
        ]
    unused = _unused_jobs(config, experiment, column)
    files = tree.benchmark_files(experiment, seed, column, shards, left_out=unused)
    teacher = owner(config, experiment, "c2am")
    if column == "saliency" and teacher != experiment:
        files += tree.benchmark_files(teacher, seed, column, shards, left_out=tree.NETWORK)
    return files


def _unused_jobs(config: Config, experiment: Experiment, stage: str) -> tuple[str, ...]:
    """Jobs of a stage that the experiment's recipe does not need."""
    if stage == "affinity" and is_direct(config, experiment):
        return tree.WITHOUT_WALK
    if stage == "saliency" and experiment.saliency != "none":
        saliency = config.saliency[experiment.saliency]
        if saliency.teacher:
            return tree.C2AM
        return () if saliency.network else (tree.MASKS, *tree.NETWORK)
    return ()


def _flatten(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [item for part in value for item in _flatten(part)]
