"""Input functions of the rules: which files a job reads, by its wildcards and its recipe.

Each takes the configuration and the wildcards of the job, and returns a path, several, or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsss.core import environment
from wsss.core.errors import UserError
from wsss.data.recipe import Purpose
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.workflow import tree
from wsss.workflow.config import Config

Wildcards = Mapping[str, str]
Files = str | list[str]


def recipe_of(config: Config, wildcards: Wildcards, section: str) -> Any:
    """The recipe of a section that the job's wildcards name, as its typed model."""
    return config.entry(section, wildcards["preset" if section == "crf" else section])


def recipe_json(config: Config, wildcards: Wildcards, section: str, *keys: str) -> str:
    """A param: the canonical JSON of the recipe that the wildcards name, or of a part of it."""
    return config.recipe(section, wildcards["preset" if section == "crf" else section], *keys)


def pretrained_weights(
    config: Config, wildcards: Wildcards, section: str, part: str | None = None
) -> Files:
    """The file that a recipe's backbone.weights means, if any."""
    recipe = recipe_of(config, wildcards, section)
    if part is not None:
        recipe = getattr(recipe, part)
    if recipe is None:
        raise UserError(f"{section}: this recipe has no part '{part}'; it does not make this file")
    name = recipe.backbone.weights
    if name is None:
        return []
    if name == "classifier":
        return f"{tree.SEED}/{{classifier}}/model.safetensors".format(**wildcards)
    if name.startswith("timm:"):
        return f"results/weights/{name.removeprefix('timm:')}.safetensors"
    return str(environment.expand(name, f"{section}: weights"))


def ordinary_classifier(config: Config, wildcards: Wildcards) -> Files:
    """The model of the classifier that the recipe names as its ordinary one, if it names one."""
    name = getattr(recipe_of(config, wildcards, "classifier"), "ordinary", None)
    return f"{tree.SEED}/{name}/model.safetensors".format(**wildcards) if name else []


def validation_chooses(config: Config, wildcards: Wildcards) -> bool:
    """Whether validation images choose a classifier's epoch, so that they decide its weights."""
    return recipe_of(config, wildcards, "classifier").keep == "best-val-map"


def cam_masks(config: Config, wildcards: Wildcards) -> Files:
    """The masks whose images a CAM recipe limits itself to, if it does."""
    return _masks_if(recipe_of(config, wildcards, "cam").images == "with-masks", wildcards)


def explain_masks(config: Config, wildcards: Wildcards) -> Files:
    """The masks whose images an explain recipe limits itself to, if it does."""
    return _masks_if(recipe_of(config, wildcards, "explain").maps.images == "with-masks", wildcards)


def percentile_source(config: Config, wildcards: Wildcards) -> Files:
    """The scores of train's maps that choose the percentile of val's, if the recipe lists some."""
    percentiles = recipe_of(config, wildcards, "explain").localization.percentiles
    if not percentiles or wildcards["split"] == "train":
        return []
    return f"{tree.EXPLAIN}/localization.train.eval.json".format(**wildcards)


def hints(config: Config, wildcards: Wildcards) -> Files:
    """The CAMs that C²AM-H takes its hints from. None for C²AM."""
    c2am = recipe_of(config, wildcards, "saliency").c2am
    if c2am is None or not c2am.hints:
        return []
    return tree.parts(f"{tree.CAM}/cam.train".format(**wildcards), config.shards)


def saliency_masks(config: Config, wildcards: Wildcards) -> Files:
    """The masks that teach a saliency network: its recipe's own, or its teacher's."""
    name = recipe_of(config, wildcards, "saliency").teacher or wildcards["saliency"]
    return tree.parts(f"{tree.CAM}/{name}/c2am.masks.train".format(**wildcards), config.shards)


def saliency_maps(config: Config, wildcards: Wildcards) -> Files:
    """All saliency maps of a split: the network's if there is one, else C²AM's."""
    maps = _saliency_maps(config, wildcards)
    if maps is None:
        raise UserError("saliency 'none' is not a background; name a saliency recipe")
    return tree.parts(f"{maps}.{wildcards['split']}", config.shards)


def saliency_part(config: Config, wildcards: Wildcards) -> Files:
    """The part of train's saliency maps that belongs to a part of train's CAMs, if there is any."""
    maps = _saliency_maps(config, wildcards)
    return f"{maps}.train{wildcards['shard']}.h5" if maps else []


def maps_for_pseudo_masks(config: Config, wildcards: Wildcards) -> Files:
    """The random walk's maps, or for `method: direct` the CAMs themselves."""
    direct = recipe_of(config, wildcards, "affinity").method == "direct"
    place = f"{tree.CAM}/cam" if direct else f"{tree.AFFINITY}/walk"
    return f"{place}.{{split}}{{shard}}.h5".format(**wildcards)


def crf_threshold_source(config: Config, wildcards: Wildcards) -> Files:
    """The evaluation on train that chooses the threshold of a refined file.

    Only with `threshold_on: train`. Such a file is for evaluation: no stage learns from it.
    """
    if recipe_of(config, wildcards, "crf").threshold_on != "train":
        return []
    return f"{tree.SEED}/{{above}}/{{file}}.train.eval.json".format(**wildcards)


def threshold_source(config: Config, wildcards: Wildcards) -> Files:
    """The evaluation on train whose threshold is reported on val."""
    if wildcards["split"] == "train" or wildcards["maps"] == "prediction":
        return []
    return f"{tree.SEED}/{{above}}/{{maps}}.train.eval.json".format(**wildcards)


def priors_threshold_source(config: Config, wildcards: Wildcards) -> Files:
    """The same of CAMs with saliency as their background, unless that is soft."""
    if wildcards["split"] == "train" or config.evaluation.saliency_background == "soft":
        return []
    return f"{tree.SALIENCY}/cam+saliency.train.eval.json".format(**wildcards)


def ground_truth(config: Config, wildcards: Wildcards) -> Files:
    """The masks of the split that a file's name says."""
    split = "train" if ".train" in wildcards["file"] else "val"
    return f"results/{wildcards['dataset']}/data/{split}.masks.h5"


def data_sources(config: Config, wildcards: Wildcards) -> Files:
    """The list and the labels file of a split, or the list of its masks."""
    data = recipe_of(config, wildcards, "dataset")
    asked = purpose(config, wildcards) if "purpose" in wildcards else None
    try:
        return data.source_files(wildcards["split"], asked)
    except UserError:
        return []  # the job reports it in one line, Snakemake would print a traceback


def purpose(config: Config, wildcards: Wildcards) -> Purpose:
    """A param: who reads a file of ground truth: `<split>.masks.h5` or `<split>.supervision.h5`."""
    return "evaluation" if wildcards["purpose"] == "masks" else "supervision"


def shard_option(config: Config, wildcards: Wildcards) -> list[str]:
    """A param: which part of the images a job takes. Nothing where it takes them all."""
    part = wildcards["shard"].removeprefix(".").replace("-of-", "/")
    return ["--shard", part] if part else []


def _masks_if(limited: bool, wildcards: Wildcards) -> Files:
    if not limited:
        return []
    return "results/{dataset}/data/{split}.masks.h5".format(**wildcards)


def _saliency_maps(config: Config, wildcards: Wildcards) -> str | None:
    """The saliency maps without split and ending, or None where the experiment has none."""
    if wildcards["saliency"] == "none":
        return None
    network = recipe_of(config, wildcards, "saliency").network
    return str(Path(tree.SALIENCY) / ("saliency" if network else "c2am")).format(**wildcards)


def map_evaluation_recipe(config: Config, wildcards: Wildcards) -> str:
    """A param: the recipe by which maps are evaluated.

    How saliency becomes a background concerns the evaluation of priors only, so it is not here.
    """
    return _evaluation(config).to_json()


def mask_evaluation_recipe(config: Config, wildcards: Wildcards) -> str:
    """A param: the recipe by which masks are evaluated.

    The pixels that affinity labels leave out are skipped.
    """
    recipe = _evaluation(config)
    if wildcards["file"] == "labels.train":
        recipe = recipe.model_copy(update={"predicted_ignore": "skip"})
    return recipe.to_json()


def _evaluation(config: Config) -> EvaluationRecipe:
    return config.evaluation.model_copy(update={"saliency_background": "threshold"})
