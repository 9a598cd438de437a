"""Galleries and comparisons: the files that each column shows, and the spec that names them."""

from __future__ import annotations

from typing import Any

from wsss.core.errors import UserError
from wsss.core.outputs import OF_TRAIN, OUTPUTS, THRESHOLDED
from wsss.core.recipe import canonical_json
from wsss.report.spec import pack
from wsss.workflow import tree
from wsss.workflow.config import Config
from wsss.workflow.experiment import Experiment
from wsss.workflow.experiment_outputs import eval_path, is_evaluated, is_made, owner


def gallery_columns(
    config: Config, experiment: Experiment, seed: int, split: str
) -> list[dict[str, Any]]:
    """What a gallery shows next to image and ground truth: one column per file of maps or masks."""
    saliency = config.saliency.get(owner(config, experiment, "c2am").saliency)
    hints = saliency.c2am.hints if saliency and saliency.c2am else None
    titles = {name: output.title for name, output in OUTPUTS.items()}
    titles |= {"explained": experiment.explain} | ({"c2am": "C²AM-H"} if hints else {})
    columns = []
    for name, stage in tree.MAKERS.items():
        place = tree.folder(owner(config, experiment, name), seed, stage)
        if place is None or not is_made(config, experiment, name):
            continue
        if name in OF_TRAIN and split != "train":
            continue
        column = _column(config, experiment, seed, split, name, place, titles[name])
        columns.append(column)
        if name == "cam" and hints and split == "train":
            above = {"title": "hints", "file": column["file"], "above": hints.threshold}
            columns.append(above)
    return columns


def comparison_columns(config: Config, table: str, seed: int, split: str) -> list[dict[str, Any]]:
    """What a table's picture shows next to image and ground truth: one column per row's maps."""
    columns = []
    for name in config.entry("tables", table).experiments:
        experiment = config.experiments[name]
        place = tree.folder(experiment, seed, "explain")
        if place is not None:
            columns.append(_column(config, experiment, seed, split, "explained", place, name))
    return columns


def has_comparison(config: Config, table: str) -> bool:
    """Whether a table's rows have explanations of one data set, to be seen side by side."""
    rows = [config.experiments[row] for row in config.tables[table].experiments]
    explained = [row for row in rows if row.explain]
    return len(explained) > 1 and len({row.dataset for row in explained}) == 1


def gallery_spec(config: Config, wildcards: dict[str, str]) -> str:
    """The recipe of a gallery or comparison, and the files of its columns, packed if long."""
    split = wildcards["split"]
    spec = {
        "recipe": config.galleries.model_dump(mode="json") | {"split": split},
        "images": _images(config, wildcards),
        "ground_truth": _ground_truth(config, wildcards),
        "columns": _columns(config, wildcards),
    }
    return pack(canonical_json(spec))


def gallery_files(config: Config, wildcards: dict[str, str]) -> list[str]:
    """Every file that a gallery or comparison reads, each once."""
    columns = _columns(config, wildcards)
    files = [file for column in columns for file in column["file"]]
    files += [column.get("threshold_from") for column in columns]
    every = (_images(config, wildcards), _ground_truth(config, wildcards), *files)
    return [file for file in dict.fromkeys(every) if file]


def _column(
    config: Config,
    experiment: Experiment,
    seed: int,
    split: str,
    name: str,
    place: str,
    title: str,
) -> dict[str, Any]:
    column: dict[str, Any] = {
        "title": title,
        "file": tree.parts(f"{place}/{name}.{split}", config.shards),
    }
    if (
        name in THRESHOLDED
        and is_evaluated(config, experiment, name)
        and eval_path(config, experiment, seed, name, split)
    ):
        column["threshold_from"] = f"{place}/{name}.{split}.eval.json"
    return column


def _columns(config: Config, wildcards: dict[str, str]) -> list[dict[str, Any]]:
    seed, split = int(wildcards["seed"]), wildcards["split"]
    if "table" in wildcards:
        return comparison_columns(config, wildcards["table"], seed, split)
    experiment = config.entry("experiments", wildcards["experiment"])
    return gallery_columns(config, experiment, seed, split)


def _dataset(config: Config, wildcards: dict[str, str]) -> str:
    """The data set of a gallery's images, or of a comparison's."""
    if "table" not in wildcards:
        return config.entry("experiments", wildcards["experiment"]).dataset
    rows = config.entry("tables", wildcards["table"]).experiments
    for row in rows:
        if config.experiments[row].explain:
            return config.experiments[row].dataset
    raise UserError(f"tables.{wildcards['table']}: no row has explanations to compare")


def _images(config: Config, wildcards: dict[str, str]) -> str:
    return f"results/{_dataset(config, wildcards)}/data/{wildcards['split']}.h5"


def _ground_truth(config: Config, wildcards: dict[str, str]) -> str | None:
    dataset = _dataset(config, wildcards)
    if not config.dataset[dataset].masks_for(wildcards["split"], "evaluation"):
        return None
    return f"results/{dataset}/data/{wildcards['split']}.masks.h5"
