"""What `snakemake all` asks for: evaluations, tables, galleries and curves, as paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wsss.core.outputs import CLASSIFIER, OF_TRAIN, THRESHOLDED
from wsss.workflow import tree
from wsss.workflow.config import Config
from wsss.workflow.experiment_outputs import eval_path, has_curve, is_evaluated, is_made, runs
from wsss.workflow.gallery_inputs import has_comparison
from wsss.workflow.table_inputs import has_curves


def evaluations(
    config: Config, columns: Iterable[str], splits: Iterable[str] = ("train", "val")
) -> list[str]:
    """The eval.json files of these columns, of every experiment and seed, in order."""
    columns, splits = list(columns), list(splits)
    found = {
        eval_path(config, experiment, seed, column, split)
        for _, experiment, seed in runs(config)
        for column in columns
        if is_evaluated(config, experiment, column)
        for split in splits
    }
    return sorted(path for path in found if path is not None)


def last_outputs(config: Config) -> Iterator[str]:
    """Each run's last file of val: what there is to ask for where no masks judge it."""
    for _, experiment, seed in runs(config):
        for name, stage in reversed(tree.MAKERS.items()):
            place = tree.folder(experiment, seed, stage)
            if place and name != "labels" and is_made(config, experiment, name):
                yield from tree.parts(f"{place}/{name}.val", config.shards)
                break


def all_evaluations(config: Config) -> list[str]:
    """Evaluations of every file that the experiments make, and the last files of each run."""
    priors = evaluations(config, [*THRESHOLDED, *OF_TRAIN, "pseudo"])
    columns = [CLASSIFIER, "prediction", "explain", "localization"]
    reported = evaluations(config, columns, ["val"])
    return priors + reported + sorted(set(last_outputs(config)))


def all_tables(config: Config) -> list[str]:
    """Every table as CSV, Markdown and LaTeX."""
    return [f"results/tables/{t}.{kind}" for t in config.tables for kind in ("csv", "md", "tex")]


def all_galleries(config: Config) -> list[str]:
    """A picture per run, and one per table with explanations and seed."""
    split = config.galleries.split
    return [
        *(f"results/galleries/{name}.seed{seed}.{split}.png" for name, _, seed in runs(config)),
        *(
            f"results/tables/{name}.seed{seed}.{split}.png"
            for name in config.tables
            if has_comparison(config, name)
            for seed in config.seeds
        ),
    ]


def all_curves(config: Config) -> list[str]:
    """Threshold curves, learning curves and class weights per run, threshold curves per table."""
    maps = [name for name in THRESHOLDED if has_curve(config, name)]
    thresholds = evaluations(config, maps)
    places = {tree.folder(e, seed, "classifier") for _, e, seed in runs(config)} - {None}
    explained = {tree.folder(e, s, "classifier") for _, e, s in runs(config) if e.explain}
    return [
        *(path.removesuffix(".eval.json") + ".curve.png" for path in thresholds),
        *(f"{place}/history.png" for place in sorted(places)),
        *(f"{place}/explain/class-weights.png" for place in sorted(explained)),
        *(f"results/tables/{t}.curves.png" for t in config.tables if has_curves(config, t)),
    ]
