"""The whole configuration: every stage's recipes, experiments, tables; checked before the DAG."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from wsss.affinity.recipe import AffinityRecipe
from wsss.cam.recipe import CamRecipe
from wsss.classifier.recipe import AnyClassifier
from wsss.core.configfile import locate, numbers, read_yaml, resolve, with_used
from wsss.core.environment import expand
from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import CURVE_METRICS, METRICS_OF
from wsss.core.recipe import canonical_json, did_you_mean, explain
from wsss.crf.recipe import CrfRecipe
from wsss.data.recipe import DataRecipe
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.explain.recipe import ExplainRecipe
from wsss.report.recipe import WITHOUT_MASKS, GalleryRecipe, Metric, TableRecipe
from wsss.saliency.recipe import SaliencyRecipe
from wsss.segmentation.recipe import SegmentationRecipe
from wsss.workflow.experiment import Experiment
from wsss.workflow.tree import EVALUATED, OF_TRAIN, REFINED, RESERVED, TIMED

NAME = re.compile(r"[a-z0-9][a-z0-9+-]*")


class Config(BaseModel):
    """A configuration with every `extends` resolved and every default filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: dict[str, DataRecipe] = {}
    classifier: dict[str, AnyClassifier] = {}
    cam: dict[str, CamRecipe] = {}
    crf: dict[str, CrfRecipe] = {}
    saliency: dict[str, SaliencyRecipe] = {}
    affinity: dict[str, AffinityRecipe] = {}
    segmentation: dict[str, SegmentationRecipe] = {}
    explain: dict[str, ExplainRecipe] = {}
    evaluation: EvaluationRecipe = EvaluationRecipe()
    experiments: dict[str, Experiment] = {}
    tables: dict[str, TableRecipe] = {}
    galleries: GalleryRecipe = GalleryRecipe()
    seeds: list[int] = Field([0], min_length=1, description="Every experiment runs once a seed.")
    shards: int = Field(
        1,
        ge=1,
        le=256,  # a reader holds a file open for each
        description="Jobs that share the images of a split, where maps, masks and CRFs are made.",
    )
    training_gpus: int = Field(
        1,
        ge=1,
        description="GPUs of each training; they share its batches.",
    )
    track_code: bool = Field(
        True,
        strict=False,  # Snakemake hands on `--config track_code=false` as a word
        description="false: a change of code reruns nothing; `wsss status` lists what is stale.",
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _from_the_command_line(cls, seeds: Any) -> Any:
        """Snakemake makes strings of the numbers in `--config seeds=[0,1]`."""
        if not isinstance(seeds, list):
            return seeds
        return [int(s) if isinstance(s, str) and s.isascii() and s.isdigit() else s for s in seeds]

    def recipe(self, section: str, name: str, *keys: str) -> str:
        """Canonical JSON of a recipe, or of a part of it: the one param of its jobs."""
        value: Any = getattr(self, section)[name].model_dump(mode="json")
        for key in keys:
            value = value[key]
        return canonical_json(value)


# What an experiment chooses recipes of.
STAGES = ("dataset", "classifier", "cam", "saliency", "affinity", "segmentation", "explain")
NAMED = (
    "dataset",
    "classifier",
    "cam",
    "crf",
    "saliency",
    "affinity",
    "segmentation",
    "explain",
    "experiments",
    "tables",
)


def parse(data: dict[str, Any], files: Iterable[Path | str] = ()) -> Config:
    """Check plain data (as YAML gives it) and build the Config.

    Raises UserError with one line per mistake, each with the file and line where the key stands
    if it stands in one of `files`, and one for a key that such a file writes twice.
    """
    files = [Path(f) for f in files]
    for file in files:
        read_yaml(file)  # Snakemake, which gave `data`, keeps the last of two keys silently
    data = numbers(data)
    data, listed = with_used(data, "config"), data.get("use") or []
    used = [Path(item) for item in listed]
    problems: list[tuple[tuple[str, ...], str]] = []
    built: dict[str, Any] = {}
    for key, value in data.items():
        if key not in Config.model_fields:
            hint = did_you_mean(key, list(Config.model_fields))
            problems.append(((key,), f"{key}: unknown section{hint}"))
        elif key in NAMED:
            if not isinstance(value, dict):
                problems.append(((key,), f"{key}: expected named recipes"))
                continue
            built[key] = {}
            for name in value:
                recipe = _recipe(data, key, name, problems)
                if recipe is not None:
                    built[key][name] = recipe
        else:
            built[key] = value
    if not problems:
        try:
            config = Config.model_validate_json(canonical_json(built))
        except ValidationError as error:
            problems += explain(error, Config)
        else:
            problems += list(_cross_check(config))
            if not problems:
                return config
    lines = []
    for path, message in problems:
        place = locate([*files, *used], path)
        lines.append(f"{place + ': ' if place else ''}{message}")
    raise UserError("\n".join(lines))


def _recipe(data: dict, section: str, name: Any, problems: list) -> dict[str, Any] | None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        rule = "lower-case letters, digits, - and + (it names a folder)"
        problems.append(((section, str(name)), f"{section}.{name}: not a name; use {rule}"))
        return None
    if name in RESERVED:
        problems.append(
            ((section, name), f"{section}.{name}: the name is reserved; choose another")
        )
        return None
    try:
        plain = resolve(data, section, name)
    except UserError as error:
        problems.append(((section, name, "extends"), str(error)))
        return None
    annotation = Config.model_fields[section].annotation.__args__[1]
    try:
        TypeAdapter(annotation).validate_json(canonical_json(plain))
    except ValidationError as error:
        for path, message in explain(error, annotation):
            dot = "." if path else ": "
            problems.append(((section, name, *path), f"{section}.{name}{dot}{message}"))
        return None
    return plain


def _cross_check(config: Config) -> Iterable[tuple[tuple[str, ...], str]]:
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


def with_c2am(config: Config, experiment: Experiment) -> Experiment:
    """The experiment with the saliency recipe that makes its C²AM maps: its own, or its teacher."""
    recipe = config.saliency.get(experiment.saliency)
    if recipe is None or recipe.teacher is None:
        return experiment
    return experiment.model_copy(update={"saliency": recipe.teacher})


def classifiers(config: Config, name: str | None) -> list[str]:
    """A classifier recipe and those it needs: its ordinary classifier, that one's, …"""
    if name is None:
        return []
    needed = [name]
    while (following := getattr(config.classifier[needed[-1]], "ordinary", None)) is not None:
        needed.append(following)
    return needed


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
        root = getattr(config.dataset[e.dataset], "root", None)
        if root is not None:
            problems += _missing(f"dataset.{e.dataset}.root", root, folder=True)
        chosen = [("classifier", name) for name in classifiers(config, e.classifier)]
        chosen += [(stage, getattr(e, stage)) for stage in ("affinity", "segmentation")]
        trained = [
            (f"{stage}.{name}", getattr(config, stage)[name]) for stage, name in chosen if name
        ]
        if e.saliency != "none":
            maker = with_c2am(config, e).saliency
            parts = {
                f"{maker}.c2am": config.saliency[maker].c2am,
                f"{e.saliency}.network": config.saliency[e.saliency].network,
            }
            trained += [(f"saliency.{place}", part) for place, part in parts.items() if part]
        for place, recipe in trained:
            weights = _weights(recipe)
            if weights not in (None, "classifier") and not weights.startswith("timm:"):
                problems += _missing(f"{place}: weights", weights, folder=False)
    return list(dict.fromkeys(problems))


def _missing(key: str, text: str, *, folder: bool) -> list[str]:
    try:
        path = expand(text, key)
    except UserError as error:
        return [str(error)]
    if path.is_dir() if folder else path.is_file():
        return []
    return [f"{key}: no {'folder' if folder else 'file'} '{path}'; correct '{text}'"]


def _column_problem(config: Config, table: TableRecipe, column: str) -> str | None:
    if table.kind == "seconds":
        if ":" in column:
            return "a table of seconds shows no metric; leave it out, or make it kind metrics"
        if ".crf-" in column:
            return _file_problem(config, column)
        return None if column in TIMED else f"no timed stage{did_you_mean(column, list(TIMED))}"
    shown = table.column(column)
    if shown.file.partition(".crf-")[0] not in EVALUATED:
        return f"nothing makes it{did_you_mean(shown.file, list(EVALUATED))}"
    if shown.file in OF_TRAIN and table.split != "train":
        return "these masks are made of train only; set split: train, or leave the column out"
    if shown.file not in WITHOUT_MASKS:
        problem = _file_problem(config, shown.file)
        if problem:
            return problem
    if shown.metric in CURVE_METRICS and shown.file == "explain":
        return _curves_problem(config, table)
    # A table's fixed_miou leaves the cells blank of files that have no threshold.
    if shown.metric in shown.metrics() or (":" not in column and shown.metric == "fixed_miou"):
        return None
    metrics = list(shown.metrics())
    elsewhere = (get_args(Metric), CURVE_METRICS, *METRICS_OF.values())
    if any(shown.metric in listed for listed in elsewhere):
        return f"no '{shown.metric}' is measured of this file (known: {', '.join(metrics)})"
    return f"no metric '{shown.metric}'{did_you_mean(shown.metric, metrics)}"


def _curves_problem(config: Config, table: TableRecipe) -> str | None:
    for row in table.experiments:
        recipe = config.explain.get(getattr(config.experiments.get(row), "explain", None))
        if recipe is not None and recipe.metrics.curves is None:
            name = config.experiments[row].explain
            return f"explain recipe '{name}' measures no curves; add `metrics: {{curves: {{}}}}`"
    return None


def _file_problem(config: Config, file: str) -> str | None:
    name, dot, preset = file.partition(".crf-")
    if name not in EVALUATED:
        return f"nothing makes it{did_you_mean(name, list(EVALUATED))}"
    if dot and name not in REFINED:
        return f"a crf refines {', '.join(REFINED)}; leave .crf-{preset} out"
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
