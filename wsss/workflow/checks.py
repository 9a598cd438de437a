"""What a configuration must also satisfy: names that exist, chains without a gap, files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from wsss.core.environment import missing_file
from wsss.core.metrics import METRICS, metrics_of
from wsss.core.mistakes import did_you_mean
from wsss.core.outputs import MASKS, OF_TRAIN, OUTPUTS, REFINABLE, kind_of
from wsss.report.recipe import TableRecipe
from wsss.workflow.config import STAGES, Config
from wsss.workflow.experiment import Experiment
from wsss.workflow.tree import TIMED


def cross_check(config: Config) -> Iterable[tuple[tuple[str, ...], str]]:
    """Names that point nowhere, chains with a gap, columns that nothing makes."""
    yield from _check_ordinary(config)
    yield from _check_teachers(config)
    for name, e in config.experiments.items():
        at = f"experiments.{name}"
        for stage in STAGES:
            choice = getattr(e, stage)
            known = list(getattr(config, stage))
            if choice not in (None, *known) and (stage, choice) != ("saliency", "none"):
                hint = did_you_mean(choice, known)
                yield (
                    ("experiments", name, stage),
                    f"{at}.{stage}: no {stage} recipe '{choice}'{hint}",
                )
        yield from _check_chain(config, name, e)
    for name, table in config.tables.items():
        for experiment in table.experiments:
            if experiment not in config.experiments:
                hint = did_you_mean(experiment, list(config.experiments))
                path = ("tables", name, "experiments")
                yield path, f"tables.{name}.experiments: no experiment '{experiment}'{hint}"
        for column in table.columns:
            problem = _column_problem(config, table, column)
            if problem:
                path = ("tables", name, "columns")
                yield path, f"tables.{name}.columns: '{column}': {problem}"
    if len(set(config.seeds)) != len(config.seeds) or min(config.seeds) < 0:
        yield ("seeds",), f"seeds: {config.seeds}: give each seed once, none negative"


def _check_ordinary(config: Config) -> Iterable[tuple[tuple[str, ...], str]]:
    known = list(config.classifier)
    for name in known:
        at, seen = f"classifier.{name}.ordinary", [name]
        while (following := getattr(config.classifier[seen[-1]], "ordinary", None)) is not None:
            if following not in known:
                if len(seen) == 1:
                    hint = did_you_mean(following, known)
                    message = f"{at}: no classifier recipe '{following}'{hint}"
                    yield ("classifier", name, "ordinary"), message
                break
            if following in seen:
                chain = " → ".join([*seen, following])
                yield (
                    ("classifier", name, "ordinary"),
                    f"{at}: {chain} is a circle; name a classifier that needs no other",
                )
                break
            seen.append(following)


def _check_teachers(config: Config) -> Iterable[tuple[tuple[str, ...], str]]:
    for name, saliency in config.saliency.items():
        path, at = ("saliency", name, "teacher"), f"saliency.{name}.teacher"
        if saliency.teacher is None:
            continue
        if saliency.teacher not in config.saliency:
            hint = did_you_mean(saliency.teacher, list(config.saliency))
            yield path, f"{at}: no saliency recipe '{saliency.teacher}'{hint}"
        elif config.saliency[saliency.teacher].c2am is None:
            message = f"{at}: '{saliency.teacher}' has a teacher itself; name a recipe with c2am"
            yield path, message


def _check_chain(config: Config, name: str, e: Experiment) -> Iterable[tuple[tuple[str, ...], str]]:
    path, at = ("experiments", name), f"experiments.{name}"
    if e.supervision == "ground-truth":
        if e.segmentation is None or e.cam or e.affinity:
            yield (
                path,
                f"{at}: a ground-truth experiment takes a segmentation recipe, no cam, no affinity",
            )
        data = config.dataset.get(e.dataset)
        if data is not None and not data.masks_for("train", "supervision"):
            yield path, f"{at}: data set '{e.dataset}' has no masks to learn from"
    else:
        chain = ("classifier", "cam", "affinity", "segmentation")
        for before, after in itertools.pairwise(chain):
            if getattr(e, after) and not getattr(e, before):
                yield path, f"{at}: {after} needs a {before} recipe; add `{before}: …`"
        if e.saliency != "none" and not e.cam:
            yield path, f"{at}: saliency needs a cam recipe; add `cam: …`"
        if e.explain and not e.classifier:
            yield path, f"{at}: explain needs a classifier recipe; add `classifier: …`"
        yield from _check_images_with_masks(config, name, e)
    for stage in ("affinity", "segmentation"):
        recipe = getattr(config, stage).get(getattr(e, stage))
        if recipe is not None and _weights(recipe) == "classifier" and not e.classifier:
            yield path, f"{at}: {stage} takes the classifier's weights; add `classifier: …`"


def _check_images_with_masks(
    config: Config, name: str, e: Experiment
) -> Iterable[tuple[tuple[str, ...], str]]:
    path, at, data = ("experiments", name), f"experiments.{name}", config.dataset.get(e.dataset)
    # Explanations of train are made only where they are asked for.
    for stage, splits in (("cam", ("train", "val")), ("explain", ("val",))):
        chosen = getattr(e, stage)
        recipe = getattr(config, stage).get(chosen)
        recipe = getattr(recipe, "maps", recipe)
        if recipe is None or data is None or recipe.images == "all":
            continue
        recipe_at = f"{at}: {stage} '{chosen}'"
        if stage == "cam" and (e.affinity is not None or e.saliency != "none"):
            message = f"{recipe_at} has maps of images with masks only"
            yield path, f"{message}; set images: all in it"
        for split in splits:
            if not data.masks_for(split, "evaluation"):
                message = f"{recipe_at} is for images with masks, and {split} has none"
                yield path, f"{message}; set images: all in it"


def _weights(recipe: Any) -> str | None:
    section = getattr(recipe, "network", None) or getattr(recipe, "train", None) or recipe
    return section.backbone.weights if hasattr(section, "backbone") else None


def missing_surroundings(config: Config) -> list[str]:
    """Variables, folders and weights files that the experiments need and this machine lacks."""
    problems: list[str] = []
    for e in config.experiments.values():
        problems += config.dataset[e.dataset].missing_folders(f"dataset.{e.dataset}")
        chosen = [("classifier", name) for name in config.classifiers(e.classifier)]
        chosen += [(stage, getattr(e, stage)) for stage in ("affinity", "segmentation")]
        trained = [
            (f"{stage}.{name}", getattr(config, stage)[name]) for stage, name in chosen if name
        ]
        if e.saliency != "none":
            maker = config.with_c2am(e).saliency
            parts = {
                f"{maker}.c2am": config.saliency[maker].c2am,
                f"{e.saliency}.network": config.saliency[e.saliency].network,
            }
            trained += [(f"saliency.{place}", part) for place, part in parts.items() if part]
        for place, recipe in trained:
            weights = _weights(recipe)
            if weights not in (None, "classifier") and not weights.startswith("timm:"):
                problems += missing_file(weights, f"{place}: weights")
    return list(dict.fromkeys(problems))


def _column_problem(config: Config, table: TableRecipe, column: str) -> str | None:
    if table.kind == "seconds":
        if ":" in column:
            return "a table of seconds shows no metric; leave it out, or make it kind metrics"
        if ".crf-" in column:
            return _file_problem(config, column)
        return None if column in TIMED else f"no timed stage{did_you_mean(column, list(TIMED))}"
    shown = table.column(column)
    if shown.file.partition(".crf-")[0] not in OUTPUTS:
        return f"nothing makes it{did_you_mean(shown.file, list(OUTPUTS))}"
    if shown.file in OF_TRAIN and table.split != "train":
        return "these masks are made of train only; set split: train, or leave the column out"
    problem = _file_problem(config, shown.file) if kind_of(shown.file) == MASKS else None
    if problem:
        return problem
    metrics = metrics_of(shown.file)
    if shown.metric in metrics:
        return _curves_problem(config, table) if metrics[shown.metric].needs_curves else None
    # A table's fixed_miou leaves the cells blank of files that have no threshold.
    if ":" not in column and shown.metric == "fixed_miou":
        return None
    if any(shown.metric in listed for listed in METRICS.values()):
        return f"no '{shown.metric}' is measured of this file (known: {', '.join(metrics)})"
    return f"no metric '{shown.metric}'{did_you_mean(shown.metric, list(metrics))}"


def _curves_problem(config: Config, table: TableRecipe) -> str | None:
    for row in table.experiments:
        recipe = config.explain.get(getattr(config.experiments.get(row), "explain", None))
        if recipe is not None and recipe.metrics.curves is None:
            name = config.experiments[row].explain
            return f"explain recipe '{name}' measures no curves; add `metrics: {{curves: {{}}}}`"
    return None


def _file_problem(config: Config, file: str) -> str | None:
    name, dot, preset = file.partition(".crf-")
    if name not in OUTPUTS:
        return f"nothing makes it{did_you_mean(name, list(OUTPUTS))}"
    if dot and name not in REFINABLE:
        return f"a crf refines {', '.join(REFINABLE)}; leave .crf-{preset} out"
    if dot and preset not in config.crf:
        return f"no crf recipe '{preset}'{did_you_mean(preset, list(config.crf))}"
    if dot:
        unary = config.crf[preset].unary
        if (name == "prediction") != (unary == "scores") or (
            name == "pseudo" and unary != "labels"
        ):
            needed = {"prediction": "scores", "pseudo": "labels"}.get(
                name, "labels or background-power"
            )
            return f"crf recipe '{preset}' has unary {unary}, this file needs {needed}"
        if name == "pseudo" and config.crf[preset].threshold_on == "train":
            return f"crf recipe '{preset}' has threshold_on train, masks have none"
    return None
