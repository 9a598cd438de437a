"""What Snakemake itself costs: a dry run of studies with many cells.

python benchmarks/scale.py [--jobs 100 1000 10000] [--rounds 3]

A cell is an experiment with a CAM recipe of its own: two extractions, their evaluations and curves,
and a gallery, seven jobs beside those that all cells share. Studies are written to a temporary
folder beside links to this workflow and dry-run there, in turn; medians over the rounds, and the
largest memory of the process. The first row is the demo's configuration.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CELL = 7  # jobs


def study(cells: int) -> dict:
    """A configuration with `cells` experiments."""
    names = [f"c{i}" for i in range(cells)]
    cams = {name: {"scales": [0.5 + i / 10_000, 1.0]} for i, name in enumerate(names)}
    one = {"dataset": "toy", "classifier": "vanilla"}
    return {
        "use": ["recipes/toy.yaml"],
        "cam": cams,
        "experiments": {name: one | {"cam": name} for name in names},
        "tables": {"all": {"experiments": names, "columns": ["cam"]}},
    }


def dry_run(folder: Path, file: str) -> tuple[int, float, float]:
    """Number of jobs, seconds, and MiB of `snakemake --dry-run`."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"]
    command += ["--configfile", file]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(output)
    return int(re.search(r"^total +(\d+)", output, re.M)[1]), seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = ("Snakefile", "rules", "envs", "report", "profiles", "wsss", "recipes")
        for part in (*parts, "config.yaml"):
            (folder / part).symlink_to(ROOT / part)
        files = ["config.yaml"]
        for jobs in arguments.jobs:
            files.append(f"study{jobs}.yaml")
            text = yaml.safe_dump(study(max(1, jobs // CELL)), sort_keys=False)
            (folder / files[-1]).write_text(text)
        found: dict[str, list[tuple[int, float, float]]] = {file: [] for file in files}
        for _ in range(arguments.rounds):
            for file, rows in found.items():
                rows.append(dry_run(folder, file))
    print(f"{'jobs':>7}{'seconds':>9}{'MiB':>7}")
    for rows in found.values():
        seconds = statistics.median(row[1] for row in rows)
        print(f"{rows[0][0]:7d}{seconds:9.1f}{max(row[2] for row in rows):7.0f}")


if __name__ == "__main__":
    main()
