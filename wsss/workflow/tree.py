"""The results tree: where each choice of an experiment puts its files (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Collection

from wsss.core import outputs
from wsss.workflow.experiment import Experiment

# Which stage makes a file, in the order of a gallery's columns.
MAKERS = {name: output.stage for name, output in outputs.OUTPUTS.items() if output.title}
# Folders of the results tree, as Snakemake writes wildcards.
SEED = "results/{dataset}/seed{seed}"
CAM = f"{SEED}/{{classifier}}/{{cam}}"
SALIENCY = f"{CAM}/{{saliency}}"
AFFINITY = f"{SALIENCY}/{{affinity}}"
EXPLAIN = f"{SEED}/{{classifier}}/explain/{{explain}}"
RESERVED = {"none", "explain", "data", "ground-truth", "tables", "galleries", "weights", "log"}


def folder(experiment: Experiment, seed: int, stage: str) -> str | None:
    """The folder of a stage's outputs, or None where the experiment has no such stage."""
    e = experiment
    path = f"results/{e.dataset}/seed{seed}/{e.classifier or 'none'}"
    if e.supervision == "ground-truth":
        last = f"{path}/ground-truth/{e.segmentation}"
        return {"classifier": path if e.classifier else None, "segmentation": last}.get(stage)
    if stage == "explain":
        return f"{path}/explain/{e.explain}" if e.explain else None
    for level in ("classifier", "cam", "saliency", "affinity", "segmentation"):
        choice = getattr(e, level)
        if choice is None or (level == stage == "saliency" and choice == "none"):
            return None
        path += f"/{choice}" if level != "classifier" else ""
        if level == stage:
            return path
    raise ValueError(f"no stage '{stage}'")


def evaluation_file(experiment: Experiment, seed: int, column: str, split: str) -> str | None:
    """The eval.json of a file such as "cam", "cam.crf-labels" or "classifier", or None."""
    if column == "classifier":
        place = folder(experiment, seed, "classifier")
        return place and f"{place}/model.{split}.eval.json"
    name, _, crf = column.partition(".crf-")
    place = folder(experiment, seed, outputs.OUTPUTS[name].stage)
    if place is None or (name == "pseudo" and experiment.supervision == "ground-truth"):
        return None
    return f"{place}/{name}.{split}{f'.crf-{crf}' if crf else ''}.eval.json"


def shards(number: int) -> tuple[str, ...]:
    """What the names of a file's parts have after the split: nothing for one, .1-of-4, …"""
    if number == 1:
        return ("",)
    return tuple(f".{i}-of-{number}" for i in range(1, number + 1))


def parts(file: str, number: int) -> list[str]:
    """A file of maps or masks (given without .h5) in the parts that `number` jobs make of it."""
    return [f"{file}{shard}.h5" for shard in shards(number)]


# Jobs of the saliency stage: C²AM, which a teacher may have done, and the network, if there is one,
# with the masks that teach it.
MASKS, NETWORK = "c2am.masks.train", ("network", "saliency.train")
C2AM = ("c2am", "c2am.train", MASKS)

# The jobs of each stage, whose seconds a table adds up: files below `folder` without their suffix.
_JOBS = {
    "classifier": ["model"],
    "cam": ["cam.train", "cam.val"],
    "saliency": [*C2AM, *NETWORK],
    "affinity": [
        "labels.train",
        "model",
        *(f"{name}.{split}" for name in ("walk", "pseudo") for split in ("train", "val")),
    ],
    "segmentation": ["model", "prediction.val"],
    "explain": ["explained.val"],
}
TIMED = ("data", *_JOBS)


def timed_crf(
    experiment: Experiment, seed: int, column: str, split: str, parts: tuple[str, ...] = ("",)
) -> list[str]:
    """The benchmark files of a dense CRF on a file of a table, such as "cam.crf-labels"."""
    path = evaluation_file(experiment, seed, column, split)
    if path is None:
        return []
    place, _, name = path.removesuffix(".eval.json").rpartition("/")
    return [f"{place}/log/{name}{part}.benchmark.tsv" for part in parts]


# What an affinity without a walk, which makes its pseudo masks from the CAMs, leaves out.
WITHOUT_WALK = tuple(job for job in _JOBS["affinity"] if "pseudo" not in job)


def benchmark_files(
    experiment: Experiment,
    seed: int,
    stage: str,
    parts: tuple[str, ...] = ("",),
    *,
    left_out: Collection[str] = (),
) -> list[str]:
    """Snakemake's benchmark files of a stage's jobs but those left out. parts: as of `shards`."""
    if stage == "data":
        data = f"results/{experiment.dataset}/data/log"
        return [f"{data}/{split}.benchmark.tsv" for split in ("train", "val")]
    place = folder(experiment, seed, stage)
    if place is None:
        return []
    return [
        f"{place}/log/{job}{part}.benchmark.tsv"
        for job in _JOBS[stage]
        if job not in left_out
        for part in (parts if "." in job else ("",))  # trainings are whole
    ]
