"""Configuration, recipes and code digests as params, and input functions."""

import functools
import json
import os
import re
import sys
from pathlib import Path

from wsss.workflow import config as wsss_config
from wsss.workflow import tree
from wsss.core import environment
from wsss.core.digest import code_digest
from wsss.core.errors import UserError
from wsss.core.gpu import gpu_required, visible_gpus
from wsss.core.recipe import canonical_json, did_you_mean
from wsss.core.files.run_card_file import read_card
from wsss.data.layout import image_count, source_files

# Jobs run the Python that runs Snakemake, also when its environment is not activated.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", "")])
)

try:
    if (chosen_env := os.getenv("WSSS_ENV", "cuda")) not in ("cuda", "cpu"):
        raise UserError(f"WSSS_ENV is '{chosen_env}'; set it to cuda or cpu")
    if not (longest := os.getenv("WSSS_MAX_MINUTES", "10000000")).isdecimal():
        raise UserError(
            f"WSSS_MAX_MINUTES is '{longest}'; set it to the minutes a job may take"
        )
    gpu_required()  # a word that it does not know is told here, not by the first job
    CONFIG = wsss_config.parse(config, workflow.configfiles)
    if lacking := wsss_config.missing_surroundings(CONFIG):
        raise UserError("\n".join(lacking))
except UserError as error:
    for line in str(error).splitlines():
        print(f"config error: {line}", file=sys.stderr)
    sys.exit(1)

# With --sdm conda rules that use a GPU name this environment, all others the one without CUDA;
# `export WSSS_ENV=cpu` where there is no GPU at all.
GPU_ENV = f"../envs/wsss-{chosen_env}.yaml"


# With --sdm apptainer: what envs/wsss.def makes.
container: "envs/wsss.sif"


# As many GPU jobs at a time as this machine has GPUs, each with its own (wsss/core/gpu.py); a
# profile or --resources gpu=N says otherwise. Without a GPU, threads alone limit them.
if "gpu" not in workflow.global_resources and (found := len(visible_gpus())):
    workflow.register_resource("gpu", found)

# The parts in which N jobs make a file of maps or masks: cam.val.h5, or cam.val.1-of-4.h5, …
SHARDS = tree.shards(CONFIG.shards)

SEED = "results/{dataset}/seed{seed}"
CAM = f"{SEED}/{{classifier}}/{{cam}}"
SALIENCY = f"{CAM}/{{saliency}}"
AFFINITY = f"{SALIENCY}/{{affinity}}"
EXPLAIN = f"{SEED}/{{classifier}}/explain/{{explain}}"


wildcard_constraints:
    dataset=r"[a-z0-9+-]+",
    seed=r"\d+",
    classifier=r"[a-z0-9+-]+",
    cam=r"[a-z0-9+-]+",
    saliency=r"[a-z0-9+-]+",
    affinity=r"[a-z0-9+-]+",
    segmentation=r"[a-z0-9+-]+",
    explain=r"[a-z0-9+-]+",
    preset=r"[a-z0-9+-]+",
    split="train|val",
    purpose="masks|supervision",
    maps="cam|c2am|saliency|walk|prediction|explained",
    above=r"[a-z0-9+/-]+",
    shard=r"(\.\d+-of-\d+)?",


def recipe(section, *keys):
    """A param: the canonical JSON of the recipe that the wildcard `section` names, or of a part."""
    wildcard = "preset" if section == "crf" else section

    def param(wildcards):
        name = wildcards[wildcard]
        if name not in getattr(CONFIG, section):
            raise WorkflowError(
                f"config: no {section} recipe '{name}'; add it or correct the path"
            )
        try:
            found = CONFIG.recipe(section, name, *keys)
        except KeyError:
            found = "null"
        if found == "null":
            raise WorkflowError(
                f"config: {section} recipe '{name}' has no part '{'.'.join(keys)}'; it does not "
                "make this file"
            )
        return found

    return param


def code(module, output):
    """A param: the digest of the code that decides the output's numbers.

    With `track_code: false` it is the digest that the output's run card recorded, so that nothing
    looks changed; turning the switch back on compares with the same record.
    """
    if CONFIG.track_code:
        return code_digest(module)

    def recorded(wildcards):
        out = Path(output.format(**wildcards))
        made = read_card(out.parent / "log" / f"{out.name}.run.json")
        return made["code"] if made else code_digest(module)

    return recorded


def weights(section, *keys):
    """An input: the file that a recipe's backbone.weights means, if any."""

    def files(wildcards):
        name = json.loads(recipe(section, *keys)(wildcards))["backbone"]["weights"]
        if name is None:
            return []
        if name == "classifier":
            return f"{SEED}/{wildcards.classifier}/model.safetensors"
        if name.startswith("timm:"):
            return f"results/weights/{name.removeprefix('timm:')}.safetensors"
        try:
            return str(environment.expand(name, f"{section}: weights"))
        except UserError as error:
            raise WorkflowError(f"config: {error}")

    return files


def parts(file):
    """An input: a file of maps or masks (without .h5) in the parts that N jobs make of it."""
    return [f"{file}{shard}.h5" for shard in SHARDS]


def each(option, name):
    """A param: the option before each file of the input `name`; nothing where it has none."""

    def param(wildcards, input):
        files = getattr(input, name)
        listed = [files] if isinstance(files, str) else list(files)
        return [word for file in listed for word in (option, file)]

    return param


def shard_option(wildcards):
    """A param: which part of the images a job takes; nothing where it takes them all."""
    if not wildcards.shard:
        return []
    return ["--shard", wildcards.shard.removeprefix(".").replace("-of-", "/")]


def validation_images(wildcards):
    """Scored every epoch. Only where they choose the epoch do they make the training run again."""
    file = f"results/{wildcards.dataset}/data/val.h5"
    keep = json.loads(recipe("classifier")(wildcards))["keep"]
    return file if keep == "best-val-map" else ancient(file)


def gpus(wildcards):
    """A resource: the GPUs that share a training's batches."""
    return CONFIG.training_gpus


def eight_for_each(gpus):
    """threads: for each GPU's process as many as other GPU jobs have."""
    return lambda wildcards: 8 * gpus(wildcards)


def ordinary(wildcards):
    """The model of the classifier that the recipe names as its ordinary one, if it names one."""
    name = json.loads(recipe("classifier")(wildcards)).get("ordinary")
    return f"{SEED}/{name}/model.safetensors" if name else []


def cam_masks(wildcards):
    """The masks whose images a CAM recipe limits itself to, if it does."""
    if json.loads(recipe("cam")(wildcards))["images"] == "all":
        return []
    return f"results/{wildcards.dataset}/data/{wildcards.split}.masks.h5"


def explain_masks(wildcards):
    """The masks whose images an explain recipe limits itself to, if it does."""
    if json.loads(recipe("explain", "maps")(wildcards))["images"] == "all":
        return []
    return f"results/{wildcards.dataset}/data/{wildcards.split}.masks.h5"


def percentile_source(wildcards):
    """The scores of train's maps that choose the percentile of val's, if the recipe lists some."""
    listed = json.loads(recipe("explain", "localization")(wildcards))["percentiles"]
    chosen = listed and wildcards.split != "train"
    return f"{EXPLAIN}/localization.train.eval.json" if chosen else []


def hints(wildcards):
    """The CAMs that C²AM-H takes its hints from; nothing for C²AM."""
    wanted = json.loads(recipe("saliency", "c2am")(wildcards))["hints"]
    return parts(f"{CAM}/cam.train") if wanted else []


def saliency_masks(wildcards):
    """The masks that teach a saliency network: its recipe's own, or another's, its teacher's."""
    name = json.loads(recipe("saliency")(wildcards))["teacher"] or wildcards.saliency
    return parts(f"{CAM}/{name}/c2am.masks.train")


def salient(wildcards):
    """What the maps are called that say what is salient: the network's, if there is one."""
    if wildcards.saliency == "none":
        return ""
    network = json.loads(recipe("saliency")(wildcards))["network"]
    return f"{SALIENCY}/{'saliency' if network else 'c2am'}"


def saliency_part(wildcards):
    """The part of the maps of what is salient that belongs to a part of train's CAMs."""
    file = salient(wildcards)
    return f"{file}.train{wildcards.shard}.h5" if file else []


def saliency_maps(wildcards):
    """All maps of what is salient in a split."""
    if not salient(wildcards):
        raise WorkflowError("saliency 'none' is no background; name a saliency recipe")
    return parts(f"{salient(wildcards)}.{wildcards.split}")


def hold_to_cores():
    """Count the threads of this machine's jobs also beside `-j 4`: four of them at most.

    With a number of jobs, as clusters have, and `cores: all` of profiles/default Snakemake does not.
    """
    if workflow.local_exec and workflow.nodes is not None:
        workflow.register_resource("_cores", workflow.resource_settings.cores)


def memory(megabytes, gpus=lambda wildcards: 1):
    """mem_mb for each GPU's process, which grows with each retry."""
    return lambda wildcards, attempt: megabytes * gpus(wildcards) * attempt


def minutes(time):
    """runtime that grows with each retry, up to what the site allows."""
    return lambda wildcards, attempt: min(time * attempt, int(longest))


def minutes_for_10000(time):
    """runtime that grows with the images of the job's split (or of train), and each retry.

    Half an hour at least, as for 10,000 images where their list cannot be read, and at most what
    the site allows: a training that needs more goes on with the next retry.
    """

    def runtime(wildcards, attempt):
        images = count_images(wildcards.dataset, wildcards.get("split", "train"))
        if wildcards.get("shard"):
            images /= CONFIG.shards
        return minutes(max(30, round(time * images / 10_000)))(wildcards, attempt)

    return runtime


@functools.cache
def count_images(dataset, split):
    recipe = CONFIG.dataset.get(dataset)
    return (recipe and image_count(recipe, split)) or 10_000


def maps_for_pseudo_masks(wildcards):
    """The random walk's maps, or for `method: direct` the CAMs themselves."""
    method = json.loads(recipe("affinity")(wildcards))["method"]
    return (
        f"{CAM}/cam.{{split}}{{shard}}.h5"
        if method == "direct"
        else f"{AFFINITY}/walk.{{split}}{{shard}}.h5"
    )


def crf_threshold_source(wildcards):
    """With `threshold_on: train` a refined file is for evaluation only: no stage learns from it."""
    if json.loads(recipe("crf")(wildcards))["threshold_on"] != "train":
        return []
    return f"{SEED}/{{above}}/{{file}}.train.eval.json"


def threshold_source(wildcards):
    """Thresholds are chosen on train and reported on val."""
    if wildcards.split == "train" or wildcards.maps == "prediction":
        return []
    return f"{SEED}/{{above}}/{wildcards.maps}.train.eval.json"


def priors_threshold_source(wildcards):
    """That of saliency as the CAMs' background, where it is a threshold and not soft."""
    if wildcards.split == "train" or CONFIG.evaluation.saliency_background == "soft":
        return []
    return f"{SALIENCY}/cam+saliency.train.eval.json"


# How saliency becomes a background concerns the evaluation of priors only.
EVALUATION = CONFIG.evaluation.model_copy(update={"saliency_background": "threshold"})


def evaluation_of(wildcards):
    """A param: the evaluation's recipe; the pixels that affinity labels leave out are skipped."""
    if wildcards.file != "labels.train":
        return EVALUATION.to_json()
    return EVALUATION.model_copy(update={"predicted_ignore": "skip"}).to_json()


def ground_truth(wildcards):
    """The masks of the split that a file's name tells."""
    split = "train" if ".train" in wildcards.file else "val"
    return f"results/{wildcards.dataset}/data/{split}.masks.h5"


def sources(wildcards):
    """An input: the list and the labels file of a split, or the list of its masks."""
    data = chosen("dataset", wildcards.dataset)
    purpose = wildcards.get("purpose")
    try:
        return source_files(
            data, wildcards.split, "evaluation" if purpose == "masks" else purpose
        )
    except UserError:
        return []  # the job says it in one line, Snakemake would with a traceback
