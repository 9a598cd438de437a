"""A copy of the workflow in a folder of its own, with a tiny study run to its end once."""

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "envs", "report", "profiles", "wsss")

BACKBONE = {"name": "resnet10t", "output_stride": 16}
AUGMENT = {"crop": 64, "resize": {"kind": "long-side", "min": 48, "max": 64}}
TRAINING = {"epochs": 1, "batch_size": 8}
FROM_CLASSIFIER = {**BACKBONE, "weights": "classifier", "batch_norm": "frozen"}

# Three experiments that share data, classifier and CAM, a fourth that shares only the data, a fifth
# on ground truth: an edit of one recipe must reach its users and nobody else.
TINY = {
    "dataset": {"toy": {"kind": "toy", "train": 24, "val": 8, "size": 48}},
    "classifier": {
        "one": {
            "objective": "vanilla",
            "backbone": BACKBONE,
            "augment": AUGMENT,
            "training": TRAINING,
        },
        "two": {
            "extends": "one",
            "objective": "p-noc",
            "ordinary": "one",
            "label_smoothing": 0.1,
            # Spelt out: a ramp is given whole or not at all.
            "puzzle": {"weight": {"start": 0.0, "end": 4.0, "until": 0.5}},
            "erase": {"weight": {"start": 0.3, "end": 1.0, "until": 0.9}},
            "noc": {"weight": {"start": 0.0, "end": 1.0, "until": 0.9}},
        },
    },
    "cam": {"single": {"scales": [1.0], "flip": False}},
    "crf": {
        "labels": {"unary": "labels", "threshold_on": "train", "steps": 1},
        "scores": {"unary": "scores", "steps": 1},
    },
    "saliency": {
        "c2am-h": {
            "c2am": {
                "backbone": {**BACKBONE, "weights": "classifier"},
                "augment": {"crop": 64, "resize": {"kind": "square", "side": 72}},
                # Enough steps that BatchNorm's running statistics know the maps.
                "training": {**TRAINING, "epochs": 12},
                "hints": {"threshold": 0.4},
            },
            "maps": {"scales": [1.0], "flip": False},
            "masks": {"threshold": 0.5, "crf": {"steps": 1}},
            "network": {
                "architecture": "unet",
                "backbone": {**BACKBONE, "weights": "classifier"},
                "augment": AUGMENT,
                "training": {**TRAINING, "accumulate": 1},
            },
        }
    },
    "affinity": {
        "rw": {
            "method": "random-walk",
            "network": {
                "backbone": FROM_CLASSIFIER,
                "augment": AUGMENT,
                "training": TRAINING,
                "radius": 4,
            },
            "walk": {"steps": 4},
        },
        "direct": {"method": "direct"},
    },
    "segmentation": {
        "deeplab": {
            "train": {
                "backbone": {**BACKBONE, "weights": "classifier"},
                "augment": AUGMENT,
                "training": TRAINING,
            },
            "predict": {"scales": [1.0], "flip": False},
        }
    },
    "explain": {
        "masked": {
            "maps": {"method": "score-cam", "channels": 4, "side": 48, "detection": 0.2},
            "metrics": {"curves": {"steps": 2}},
            "localization": {"side": 48, "step": 0.1, "percentiles": [80, 100]},
        }
    },
    "experiments": {
        "full": {
            "dataset": "toy",
            "classifier": "one",
            "cam": "single",
            "affinity": "rw",
            "segmentation": "deeplab",
        },
        "short": {
            "dataset": "toy",
            "classifier": "one",
            "cam": "single",
            "affinity": "direct",
            "explain": "masked",
        },
        "salient": {
            "dataset": "toy",
            "classifier": "one",
            "cam": "single",
            "saliency": "c2am-h",
            "affinity": "rw",
        },
        "other": {"dataset": "toy", "classifier": "two", "cam": "single"},
        "supervised": {
            "dataset": "toy",
            "classifier": "one",
            "segmentation": "deeplab",
            "supervision": "ground-truth",
        },
    },
    "tables": {
        "stages": {
            "experiments": ["full", "short", "salient", "other", "supervised"],
            "columns": [
                "classifier",
                "cam",
                "cam:fp",
                "cam.crf-labels",
                "c2am:mae",
                "c2am.crf-labels",
                "saliency",
                "cam+saliency",
                "walk",
                "pseudo",
                "prediction.crf-scores",
                "explained",
                "explain:ado",
                "explain:deletion",
                "localization:pxap",
            ],
        },
        "taught": {
            "split": "train",
            "experiments": ["full", "salient"],
            "columns": ["c2am.masks", "c2am.masks:recall", "labels", "labels:labelled"],
        },
    },
    "galleries": {"images": 2},
}


# Nothing shared between recipes: an edit of one must not be an edit of another.
TINY = json.loads(json.dumps(TINY))


class Planner:
    """The process of planner.py; code: the folder whose wsss it loads once, for all plans."""

    def __init__(self, code: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="planner-"))
        program = [sys.executable, str(Path(__file__).with_name("planner.py"))]
        program += [str(code)] if code else []
        self.process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self.close)

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess:
        """Snakemake with these arguments, as `subprocess.run` would return it."""
        out, err = self.folder / "out", self.folder / "err"
        request = {"arguments": arguments, "folder": str(folder), "environment": environment}
        line = json.dumps(request | {"out": str(out), "err": str(err)})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())

    def close(self) -> None:
        """End it, and delete what it wrote."""
        self.process.stdin.close()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def planner() -> Planner:
    """One per process of the tests."""
    return Planner()


class WarmPython:
    """The process of warm.py, and a `python` that hands wsss commands to it.

    `environment` has Snakemake find that `python`: rules take the one next to Snakemake's own.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="warm-"))
        program, socket = Path(__file__).with_name("warm.py"), self.folder / "socket"
        # As another virtual environment with the same packages.
        own = Path(sys.prefix)
        (self.folder / "bin").mkdir()
        (self.folder / "lib").symlink_to(own / "lib")
        shutil.copy(own / "pyvenv.cfg", self.folder)
        for file in (own / "bin").iterdir():
            if not file.name.startswith("python"):
                (self.folder / "bin" / file.name).symlink_to(file)
        self.python = self.folder / "bin" / "python3"
        self.python.symlink_to(Path(sys.executable).resolve())
        client = self.folder / "bin" / "python"
        # -S -E: the client needs no packages.
        client.write_text(
            "#!/bin/sh\n"
            f'[ "$1 $2" = "-m wsss" ] && exec {self.python} -S -E {program} {socket} "$@"\n'
            f'exec {self.python} "$@"\n'
        )
        client.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, str(program), str(socket)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.close)
        assert self.process.stdout.readline() == "ready\n"

    def close(self) -> None:
        """End it with all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def warm_python() -> WarmPython:
    """One per process of the tests."""
    return WarmPython()


@dataclass
class Workflow:
    """The workflow in `folder`; `study` is its configuration file."""

    folder: Path
    study: Path
    data: dict

    def write(self, data: dict) -> None:
        """Replace the study."""
        self.study.write_text(yaml.safe_dump(data, sort_keys=False))

    def start(
        self,
        *arguments: str,
        said: int | IO = subprocess.PIPE,
        python: str | Path = sys.executable,
        **variables: str,
    ) -> subprocess.Popen:
        """Start Snakemake on the study as a terminal does, with this folder's copy of the package.

        said: where standard error goes. variables: of the environment, on top of the tests' own.
        """
        return subprocess.Popen(
            [python, "-m", "snakemake", *self.study_arguments(*arguments)],
            cwd=self.folder,
            env=self.study_environment() | variables,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
            # A worker of pytest-xdist hands on that it ignores it, as a shell's background does.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def study_arguments(self, *arguments: str) -> list[str]:
        """Arguments of Snakemake on the study."""
        return ["--configfile", self.study.name, *arguments]

    def study_environment(self) -> dict[str, str]:
        """Variables of a process that takes this folder's copy of the package."""
        # Two GPUs by name: without a driver torch finds none and takes the CPU.
        gpus = {"CUDA_VISIBLE_DEVICES": "0,1"}
        return os.environ | gpus | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}

    def plan(
        self, *arguments: str, by: Planner | None = None, **variables: str
    ) -> subprocess.CompletedProcess:
        """Run Snakemake where it starts no job: in a fork of a process that has loaded it."""
        environment = self.study_environment() | variables
        return (by or planner()).run(self.study_arguments(*arguments), self.folder, environment)

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
        """Run Snakemake on the study to its end; options: of `start`."""
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(timeout=900)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """The same with jobs that are quick to start, where no signal is sent to them."""
        return self.snakemake(*arguments, python=warm_python().python, **variables)

    def run_all(self) -> None:
        """Make everything that the study asks for."""
        done = self.run("--cores", "2", "--max-threads", "1", "all")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]

    def planned(self, *targets: str, by: Planner | None = None) -> set[str]:
        """The files that a dry run would make; by: another planner than the usual one."""
        done = self.plan("--dry-run", "--printshellcmds", *targets, by=by)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.made_by(done)

    @staticmethod
    def made_by(done: subprocess.CompletedProcess) -> set[str]:
        """The files behind --out (and its siblings) in printed shell commands."""
        return set(re.findall(r"--out(?:-\w+)? (\S+)", done.stdout + done.stderr))

    def wsss(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a wsss command with this folder's copy of the package."""
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-m", "wsss", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )

    def graph(self) -> dict[str, set[str]]:
        """Every output of the study and the files that it is directly made from."""
        done = self.plan("--detailed-summary")
        assert done.returncode == 0, done.stderr
        lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
        head = lines[0]
        output, inputs = head.index("output_file"), head.index("input-file(s)")
        return {line[output]: set(line[inputs].split(",")) - {"-", ""} for line in lines[1:]}


def copied(folder: Path) -> Workflow:
    """A copy of the workflow in `folder`, with the tiny study, not run."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    workflow = Workflow(folder, folder / "study.yaml", TINY)
    workflow.write(TINY)
    return workflow


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workflow:
    """The tiny study, run to its end."""
    workflow = copied(tmp_path_factory.mktemp("workflow"))
    workflow.run_all()
    return workflow
