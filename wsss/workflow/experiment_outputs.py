"""What an experiment makes: which files, in whose folders, and which evaluations judge them."""

from __future__ import annotations

from collections.abc import Iterator

from wsss.core.outputs import OF_TRAIN, OUTPUTS, THRESHOLDED
from wsss.workflow import tree
from wsss.workflow.config import Config
from wsss.workflow.experiment import Experiment


def runs(config: Config) -> Iterator[tuple[str, Experiment, int]]:
    """Every (name, experiment, seed) of the configuration."""
    for name, experiment in config.experiments.items():
        for seed in config.seeds:
            yield name, experiment, seed


def is_direct(config: Config, experiment: Experiment) -> bool:
    """Whether its pseudo masks come straight from the CAMs, without a random walk."""
    recipe = config.affinity.get(experiment.affinity or "")
    return recipe is not None and recipe.method == "direct"


def is_made(config: Config, experiment: Experiment, name: str) -> bool:
    """Whether its recipes make a file of this name, where it has the stage."""
    if name in ("labels", "walk"):
        return not is_direct(config, experiment)
    if name in ("saliency", "c2am.masks") and experiment.saliency != "none":
        return config.saliency[experiment.saliency].network is not None
    return True


def owner(config: Config, experiment: Experiment, name: str) -> Experiment:
    """The experiment in whose folders a file of this name lies.

    C²AM's maps and masks may belong to a teacher's recipe.
    """
    if name in ("c2am", "c2am.masks"):
        return config.with_c2am(experiment)
    return experiment


def has_curve(config: Config, maps: str) -> bool:
    """Whether the evaluation of these maps is a curve over thresholds.

    Soft saliency as the background of CAMs leaves no threshold to choose.
    """
    soft = config.evaluation.saliency_background == "soft"
    return maps in THRESHOLDED and not (maps == "cam+saliency" and soft)


def has_masks(config: Config, experiment: Experiment, column: str, split: str) -> bool:
    """Whether the data set has the masks that a column's evaluation needs.

    Where train chooses a threshold, a refinement's threshold or a percentile, train's too.
    """
    name, _, preset = column.partition(".crf-")
    if not OUTPUTS[name].needs_masks:
        return True
    data = config.dataset[experiment.dataset]
    needs_train = has_curve(config, name)
    if preset:
        needs_train = config.crf[preset].threshold_on == "train"
    if column == "localization" and experiment.explain:
        localization = config.explain[experiment.explain].localization
        needs_train = localization.percentiles is not None
    splits = {split, "train"} if needs_train else {split}
    return all(data.masks_for(part, "evaluation") for part in splits)


def made_eval_path(
    config: Config, experiment: Experiment, seed: int, column: str, split: str
) -> str | None:
    """The eval.json of a column, or None where the experiment does not make its file."""
    name = column.partition(".crf-")[0]
    if not is_made(config, experiment, name) or (name in OF_TRAIN and split != "train"):
        return None
    return tree.evaluation_file(owner(config, experiment, name), seed, column, split)


def eval_path(
    config: Config, experiment: Experiment, seed: int, column: str, split: str
) -> str | None:
    """The eval.json of a column, or None where its file is not made or no masks judge it."""
    if not has_masks(config, experiment, column, split):
        return None
    return made_eval_path(config, experiment, seed, column, split)


def is_evaluated(config: Config, experiment: Experiment, column: str) -> bool:
    """Whether `all` evaluates a column: mIoU of explanations only where a table shows it."""
    if column != "explained":
        return True
    return any(
        experiment in [config.experiments[row] for row in table.experiments]
        and "explained" in [table.column(c).file.partition(".")[0] for c in table.columns]
        for table in config.tables.values()
        if table.kind == "metrics"
    )
