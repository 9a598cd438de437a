"""Hours of a study's jobs, from seconds per image that were measured on some of them.

    python benchmarks/gpu_hours.py rates RESULTS … > rates.csv
    python benchmarks/gpu_hours.py hours --rates rates.csv --configfile STUDY [--images 10582 1449]

`rates` reads the run cards and benchmark files of finished jobs: seconds by the clock and of
processor time, of all jobs of a kind by all their images times epochs. What was measured on a GPU
holds for that GPU, and only for the recipes that ran: image size, network and scales. A training on
several GPUs counts its seconds once for each.

`hours` dry-runs the study from nothing and multiplies: by the images of its data sets, or by those
of --images (train, val), as if they had that many. It takes seconds by the clock, or with
--processor those of processor time, which other work on the machine does not lengthen.

Every job counts its images times its epochs; starting Python is part of the measured seconds.
Evaluations on train count all its images, also where only some have masks.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import yaml

from wsss.core.configfile import read_yaml
from wsss.core.files.run_card_file import read_card
from wsss.workflow.loading import parse

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"python -m wsss --log (\S+ .*)")
# Commands of rules that ask for a GPU; a test holds the profile's list of them complete.
GPU = {
    rule.replace("_", " ", 1).replace("_", "-")
    for rule in yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["set-resources"]
}


class Job(NamedTuple):
    """A wsss command: what it does, as rates are listed, and on which images how many times."""

    name: str
    dataset: str
    split: str
    masked: bool  # only images with masks
    share: float  # of the images, where jobs share them
    epochs: int

    @property
    def gpu(self) -> bool:
        """Whether its rule asks for a GPU."""
        return " ".join(self.name.split()[:2]) in GPU


def job(words: Sequence[str]) -> Job | None:
    """The job of a command line `<stage> <action> --option value …`; None if it has no images."""
    stage, action, *rest = words
    options = dict(itertools.pairwise(rest))
    place = re.match(r"results/([^/]+)/(?:data|seed)", options.get("--out", ""))
    if action == "curve" or place is None:
        return None
    recipe = json.loads(options.get("--recipe", "{}"))
    split = options.get("--split") or re.search(r"[./](train|val)\b", Path(options["--out"]).name)
    if isinstance(split, re.Match):
        split = split[1]
    parts = options.get("--shard", "1/1").partition("/")[2]
    name = f"{stage} {action}"
    if name == "classifier train":
        name += f" {recipe['objective']}"
    return Job(
        name=name,
        dataset=place[1],
        split=split or "train",
        masked=stage == "evaluation" or (action == "extract" and "--masks" in options),
        share=1 / int(parts),
        epochs=recipe.get("training", {}).get("epochs", 1),
    )


def epochs_run(log: Path, job: Job) -> int:
    """Epochs of a training's last start, which is all that its seconds are of if it resumed."""
    resumed = "resuming from" in (text := log.read_text())
    first = re.search(r"epoch (\d+)/\d+", text)
    return job.epochs - int(first[1]) + 1 if resumed and first else job.epochs


def measured(results: Path) -> Iterator[tuple[Job, float, float, float]]:
    """(job, images times epochs, seconds, processor seconds) of every finished job of a tree."""

    def images(job: Job) -> int:
        file = results / job.dataset / "data" / f"{job.split}{'.masks' * job.masked}.h5"
        with h5py.File(file) as store:
            return len(store["ids"])

    for path in sorted(results.rglob("log/*.run.json")):
        card = read_card(path)
        words = card["command"] if card else []
        if words[:1] != ["--log"] or (found := job(words[2:])) is None:
            continue
        log = results.parent / words[1]
        timed = log.with_suffix(".benchmark.tsv")
        if not timed.exists():
            continue
        row = next(csv.DictReader(timed.open(), delimiter="\t"))
        passes = images(found) * found.share * epochs_run(log, found)
        gpus = int(dict(itertools.pairwise(words)).get("--gpus", 1))
        yield found, passes, float(row["s"]) * gpus, float(row["cpu_time"])


def rates(trees: list[Path]) -> None:
    """Print the table of seconds per image and epoch."""
    rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for tree in trees:
        for found, *amounts in measured(tree):
            rows[found.name].append(tuple(amounts))
    if not rows:
        sys.exit("no finished jobs there: give folders `results` of studies that have run")
    print("job,jobs,images,seconds,processor")
    for name, values in sorted(rows.items()):
        images, seconds, processor = (sum(column) for column in zip(*values, strict=True))
        print(f"{name},{len(values)},{images:.0f},{seconds / images:.4f},{processor / images:.4f}")


def planned(study: str) -> list[list[str]]:
    """The wsss commands of all jobs of a study, as if none had run."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--printshellcmds"]
    done = subprocess.run([*command, "--configfile", study], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found = COMMAND.findall(done.stdout + done.stderr)
    return [shlex.split(line)[1:] for line in found]


def images_of(study: str) -> Callable[[Job], int]:
    """How many images a job of a study has, by its data sets' recipes and lists."""
    datasets = parse(read_yaml(Path(study)), [study]).dataset

    def images(job: Job) -> int:
        dataset = datasets[job.dataset]
        count = dataset.image_count(job.split)
        if count is None:
            raise SystemExit(f"{job.dataset}: no list of its {job.split} images")
        return count

    return images


def hours(study: str, table: Path, given: list[int] | None, column: str) -> None:
    """Print jobs and hours of a study, and which jobs the table of rates does not know."""
    seconds = {row["job"]: float(row[column]) for row in csv.DictReader(table.open())}
    images = (lambda job: given[job.split == "val"]) if given else images_of(study)
    jobs: dict[str, list[Job]] = defaultdict(list)
    others = 0
    for words in planned(study):
        found = job(words)
        if found is None:
            others += 1
        else:
            jobs[found.name].append(found)
    total = {True: 0.0, False: 0.0}
    unknown = []
    print("| job | jobs | million images | hours | on |\n|---|---:|---:|---:|---|")
    for name, listed in sorted(jobs.items(), key=lambda item: (not item[1][0].gpu, item[0])):
        passes = sum(images(one) * one.share * one.epochs for one in listed)
        if name not in seconds:
            unknown.append(name)
        spent = passes * seconds.get(name, 0) / 3600
        total[listed[0].gpu] += spent
        shown = f"{spent:.1f}" if name in seconds else "?"
        where = "GPU" if listed[0].gpu else "CPU"
        print(f"| {name} | {len(listed)} | {passes / 1e6:.3f} | {shown} | {where} |")
    count = sum(map(len, jobs.values()))
    print(f"\n{count} jobs, and {others} without images: tables, curves, galleries.")
    print(f"{total[True]:.0f} hours of jobs that use a GPU, {total[False]:.0f} of the others.")
    if unknown:
        print(f"Without a rate, not in the sums: {', '.join(unknown)}.")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("rates")
    one.add_argument("results", type=Path, nargs="+")
    two = commands.add_parser("hours")
    two.add_argument("--rates", type=Path, required=True)
    two.add_argument("--configfile", required=True)
    two.add_argument("--images", type=int, nargs=2, metavar=("TRAIN", "VAL"))
    two.add_argument("--processor", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "rates":
        rates(arguments.results)
    else:
        column = "processor" if arguments.processor else "seconds"
        hours(arguments.configfile, arguments.rates, arguments.images, column)


if __name__ == "__main__":
    main()
