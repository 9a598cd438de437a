"""What Snakemake itself must see of the configuration: wildcards, params, resources.

Names that the other files use:
  CONFIG, SITE                             the configuration, and what the machine says
  SEED, CAM, SALIENCY, AFFINITY, EXPLAIN   folders of the results tree
  inputs, patterns                         modules of wsss.workflow: functions for ask, wildcards
  ask, recipe, code, each, parts, validation_images   inputs and params
  gpus, eight_for_each, memory, minutes, minutes_for_10000   threads and resources
"""

import os
import sys
from pathlib import Path

from wsss.core.errors import UserError
from wsss.core.gpu import visible_gpus
from wsss.workflow import inputs, loading, patterns, resources, tree
from wsss.workflow.checks import missing_surroundings
from wsss.workflow.codes import code_of
from wsss.workflow.site import read_site
from wsss.workflow.tree import AFFINITY, CAM, EXPLAIN, SALIENCY, SEED

# Jobs run the Python that runs Snakemake, also when its environment is not activated.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", "")])
)

try:
    SITE = read_site(os.environ)
    CONFIG = loading.parse(config, workflow.configfiles)
    if lacking := missing_surroundings(CONFIG):
        raise UserError("\n".join(lacking))
except UserError as error:
    for line in str(error).splitlines():
        print(f"config error: {line}", file=sys.stderr)
    sys.exit(1)

MINUTES = resources.Minutes(CONFIG, SITE.max_minutes)


# With --sdm apptainer: what envs/wsss.def makes.
container: "envs/wsss.sif"


# As many GPU jobs at a time as this machine has GPUs, each with its own (wsss/core/gpu.py); a
# profile or --resources gpu=N says otherwise. Without a GPU, threads alone limit them.
if "gpu" not in workflow.global_resources and (found := len(visible_gpus())):
    workflow.register_resource("gpu", found)


wildcard_constraints:
    dataset=patterns.CHOICE,
    seed=r"\d+",
    classifier=patterns.CHOICE,
    cam=patterns.CHOICE,
    saliency=patterns.CHOICE,
    affinity=patterns.CHOICE,
    segmentation=patterns.CHOICE,
    explain=patterns.CHOICE,
    preset=patterns.CHOICE,
    split="train|val",
    purpose="masks|supervision",
    maps=patterns.MAPS,
    above=r"[a-z0-9+/-]+",
    shard=patterns.SHARD,


def ask(function, *arguments, by=None):
    """An input or param: what a function of wsss.workflow answers for the job's wildcards.

    by: the one wildcard that it asks for, instead of all.
    """

    def answer(wildcards):
        words = dict(wildcards.items())
        try:
            return function(CONFIG, words[by] if by else words, *arguments)
        except UserError as error:
            raise WorkflowError(f"config: {error}")

    return answer


def recipe(section, *keys):
    """A param: the canonical JSON of the recipe that the wildcard `section` names, or of a part."""
    return ask(inputs.recipe_json, section, *keys)


def code(entry):
    """A param: the digest by which Snakemake judges an output's code, of module `entry` (codes.py).

    It takes wildcards alone: Snakemake does not track a param whose function asks for `output`.
    """

    def param(wildcards):
        own = next(one for one in workflow.rules if one.params.get("code") is param)
        file = own.output[0].apply_wildcards(dict(wildcards.items()))
        recorded = workflow.persistence.params(file)
        return code_of(entry, Path(file), recorded, track=CONFIG.track_code)

    return param


def parts(file):
    """An input: a file of maps or masks (without .h5) in the parts that N jobs make of it."""
    return tree.parts(file, CONFIG.shards)


def each(option, name):
    """A param: the option before each file of the input `name`; nothing where it has none."""

    def param(wildcards, input):
        files = getattr(input, name)
        listed = [files] if isinstance(files, str) else list(files)
        return [word for file in listed for word in (option, file)]

    return param


def validation_images(wildcards):
    """Scored every epoch. Only where they choose the epoch do they make the training run again."""
    file = "results/{dataset}/data/val.h5"
    chooses = ask(inputs.validation_chooses)(wildcards)
    return file if chooses else ancient(file)


def gpus(wildcards):
    """A resource: the GPUs that share a training's batches."""
    return CONFIG.training_gpus


def eight_for_each(gpus):
    """threads: for each GPU's process as many as other GPU jobs have."""
    return lambda wildcards: 8 * gpus(wildcards)


def memory(megabytes, gpus=lambda wildcards: 1):
    """mem_mb for each GPU's process, which grows with each retry."""
    return lambda wildcards, attempt: resources.megabytes(
        megabytes, attempt, gpus(wildcards)
    )


def minutes(base):
    """runtime that grows with each retry."""
    return lambda wildcards, attempt: MINUTES.minutes(base, attempt)


def minutes_for_10000(base):
    """runtime that grows with the images of the job's split, and each retry."""
    return lambda wildcards, attempt: MINUTES.by_images(base, wildcards, attempt)
