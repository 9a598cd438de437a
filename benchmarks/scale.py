"""What Snakemake itself costs: dry runs of studies with many cells, not begun and finished.

python benchmarks/scale.py [--cells 100 1000] [--rounds 3] [--finished]

A cell is an experiment with a CAM recipe of its own: two extractions, their evaluations and curves,
and a gallery, seven jobs beside those that all cells share. Studies are written to a temporary
folder beside links to this workflow and dry-run there, in turn: seconds by the clock and of
processor time (medians over the rounds), and the largest memory of the process. The first row is
the demo's configuration.

--finished also makes an empty file of every output and has Snakemake record them as made
(`--touch`): the dry run of a study with nothing left to do, and the size of what Snakemake keeps of
each output in .snakemake/metadata.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "envs", "report", "profiles", "wsss", "recipes", "config.yaml")


class Cost(NamedTuple):
    """What a run of Snakemake printed and took: seconds, seconds of processor time, MiB."""

    output: str
    seconds: float
    processor: float
    memory: float


def study(cells: int) -> dict:
    """A configuration with `cells` experiments."""
    names = [f"c{i}" for i in range(cells)]
    cams = {name: {"scales": [0.5 + i / 100_000, 1.0]} for i, name in enumerate(names)}
    one = {"dataset": "toy", "classifier": "vanilla"}
    return {
        "use": ["recipes/toy.yaml"],
        "cam": cams,
        "experiments": {name: one | {"cam": name} for name in names},
        "tables": {"all": {"experiments": names, "columns": ["cam"]}},
    }


def linked(folder: Path) -> None:
    """Make this workflow runnable in a folder without results."""
    for part in PARTS:
        (folder / part).symlink_to(ROOT / part)


def snakemake(folder: Path, *words: str) -> Cost:
    """Run Snakemake in a folder; exit with what it printed if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(output)
    return Cost(output, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def dry_run(folder: Path, file: str) -> Cost:
    """A dry run of everything that a configuration file asks for."""
    return snakemake(folder, "--dry-run", "--quiet", "rules", "--configfile", file)


def finish(folder: Path, file: str) -> None:
    """Make an empty file of every output, and have Snakemake take it for made."""
    for part in ("results", ".snakemake"):
        shutil.rmtree(folder / part, ignore_errors=True)
    summary = snakemake(folder, "--summary", "--configfile", file).output
    for path in re.findall(r"^(results/\S+)\t", summary, re.M):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    snakemake(folder, "--touch", "--quiet", "all", "--cores", "1", "--configfile", file)


def line(jobs: int, rows: list[Cost], *more: str) -> str:
    """One line of the table."""
    seconds, processor = (
        statistics.median(getattr(row, name) for row in rows) for name in ("seconds", "processor")
    )
    memory = max(row.memory for row in rows)
    return f"{jobs:7d}{seconds:9.1f}{processor:11.1f}{memory:7.0f}" + "".join(more)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--finished", action="store_true")
    arguments = parser.parse_args()
    head = f"{'jobs':>7}{'seconds':>9}{'processor':>11}{'MiB':>7}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        linked(folder)
        files = ["config.yaml"]
        for cells in arguments.cells:
            files.append(f"study{cells}.yaml")
            (folder / files[-1]).write_text(yaml.safe_dump(study(cells), sort_keys=False))
        found: dict[str, list[Cost]] = {file: [] for file in files}
        for _ in range(arguments.rounds):
            for file, rows in found.items():
                rows.append(dry_run(folder, file))
        jobs = {
            file: int(re.search(r"^total +(\d+)", rows[0].output, re.M)[1])
            for file, rows in found.items()
        }
        print(f"not begun\n{head}")
        for file, rows in found.items():
            print(line(jobs[file], rows))
        if not arguments.finished:
            return
        print(f"finished\n{head}{'files':>9}{'MB':>7}{'B/file':>8}")
        for file in files:
            finish(folder, file)
            kept = (folder / ".snakemake/metadata").rglob("*")
            sizes = [path.stat().st_size for path in kept if path.is_file()]
            rows = [dry_run(folder, file) for _ in range(arguments.rounds)]
            if "Nothing to be done" not in rows[0].output:
                sys.exit(f"{file}: not finished:\n{rows[0].output}")
            mean = sum(sizes) / len(sizes)
            more = f"{len(sizes):9d}{sum(sizes) / 1e6:7.1f}{mean:8.0f}"
            print(line(jobs[file], rows, more))


if __name__ == "__main__":
    main()
