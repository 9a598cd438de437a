"""What a failure leaves behind, and that a second start ends with the bytes of a run without one.

Failures of a cluster are in tests/slurm/test_failures.py.
"""

import copy
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss.core.images import palette_png

from .conftest import TINY, Workflow, copied
from .failures import checkpoints, jobs_of, until

pytestmark = [pytest.mark.xdist_group("workflow"), pytest.mark.slow]

FOLDER = "results/toy/seed0/one"
MODEL, HISTORY = f"{FOLDER}/model.safetensors", f"{FOLDER}/history.csv"
LOG = f"{FOLDER}/log/model.log"
EPOCHS = 6
ONE = ("--cores", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Workflow:
    """A training of some epochs that nothing disturbed, its images, and nothing else."""
    workflow = copied(tmp_path_factory.mktemp("trained"))
    data = copy.deepcopy(TINY)
    data["classifier"]["one"]["training"] = {"epochs": EPOCHS, "batch_size": 8}
    workflow.write(data)
    done = workflow.run("--cores", "2", "--max-threads", "1", MODEL)
    assert done.returncode == 0, done.stderr[-6000:]
    return workflow


@pytest.fixture
def untrained(trained, tmp_path) -> Workflow:
    """The same before the training."""
    workflow = another(trained, tmp_path)
    shutil.rmtree(workflow.folder / FOLDER)
    return workflow


def another(workflow: Workflow, folder: Path) -> Workflow:
    """A copy with all its files, what Snakemake knows of them included."""
    shutil.copytree(workflow.folder, folder, dirs_exist_ok=True, symlinks=True)
    return Workflow(folder, folder / workflow.study.name, workflow.data)


@contextmanager
def held_training(workflow: Workflow):
    """Snakemake with a training that is stopped after an epoch; it and its job are gone after."""
    before = checkpoints(workflow.folder / FOLDER)
    snakemake = workflow.start(*ONE, MODEL)
    try:
        until(
            lambda: snakemake.poll() is not None or checkpoints(workflow.folder / FOLDER) - before
        )
        (job,) = jobs_of(workflow)
        os.kill(job, signal.SIGSTOP)
        yield snakemake, job
    finally:
        for pid in (*jobs_of(workflow), snakemake.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        snakemake.communicate()


def assert_locked_out(workflow: Workflow) -> None:
    """Another Snakemake does nothing and says what to do."""
    done = workflow.snakemake(*ONE, MODEL)
    assert done.returncode == 1
    assert "Directory cannot be locked" in done.stderr and "--unlock" in done.stderr
    assert "Execute" not in done.stderr


def assert_whole(workflow: Workflow, trained: Workflow) -> None:
    """The model and its history are those of the undisturbed training; no trace is left."""
    for file in (MODEL, HISTORY):
        assert (workflow.folder / file).read_bytes() == (trained.folder / file).read_bytes()
    left = [path.name for path in (workflow.folder / FOLDER).rglob(".*")]
    assert left == [] and jobs_of(workflow) == []
    assert workflow.planned(MODEL) == set()


def test_snakemake_killed_then_interrupted_then_whole(untrained, trained):
    with held_training(untrained) as (snakemake, job):
        snakemake.kill()
        snakemake.wait()
        assert jobs_of(untrained) == [job]  # it goes on by itself
        assert_locked_out(untrained)
        assert not (untrained.folder / MODEL).exists()
    assert untrained.plan("--unlock").returncode == 0
    with held_training(untrained) as (snakemake, job):
        resumed = (untrained.folder / LOG).read_text()
        os.kill(job, signal.SIGCONT)
        os.killpg(snakemake.pid, signal.SIGINT)  # Ctrl-C
        snakemake.communicate(timeout=300)
        assert snakemake.returncode == 1
        assert "resuming from" in resumed
        until(lambda: not jobs_of(untrained))
        assert not (untrained.folder / MODEL).exists()
    assert untrained.planned(HISTORY) == {MODEL, HISTORY}
    done = untrained.run(*ONE, MODEL)
    assert done.returncode == 0, done.stderr
    assert "resuming from" in (untrained.folder / LOG).read_text()
    assert_whole(untrained, trained)


def test_sigterm_lets_the_running_job_end_and_a_second_snakemake_stays_out(untrained, trained):
    with held_training(untrained) as (snakemake, job):
        assert_locked_out(untrained)
        snakemake.terminate()
        os.kill(job, signal.SIGCONT)
        _, said = snakemake.communicate(timeout=300)
        assert snakemake.returncode == 1, said
    assert_whole(untrained, trained)


def test_what_a_job_ends_after_its_snakemake_is_kept_by_a_word(untrained, trained):
    with held_training(untrained) as (snakemake, job):
        snakemake.kill()
        snakemake.wait()
        os.kill(job, signal.SIGCONT)
        until(lambda: not jobs_of(untrained))
    assert untrained.plan("--unlock").returncode == 0
    assert untrained.planned(MODEL) == {MODEL, HISTORY}  # it would be made again
    assert untrained.plan("--cleanup-metadata", MODEL, HISTORY).returncode == 0
    assert_whole(untrained, trained)


@contextmanager
def disk(folder: Path, *options: str):
    """Mount something over a folder; skips where that cannot be done."""
    try:
        done = subprocess.run(["mount", *options, folder], capture_output=True, timeout=10)
    except OSError as error:
        pytest.skip(f"nothing can be mounted: {error}")
    if done.returncode:
        pytest.skip("nothing can be mounted: mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=10)


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(untrained, trained):
    results = untrained.folder / "results"
    data = untrained.folder / "data"
    shutil.move(results, data)
    results.mkdir()
    # Room for one checkpoint, not for two.
    with disk(results, "-t", "tmpfs", "-o", "size=30m", "tmpfs"):
        shutil.copytree(data, results, dirs_exist_ok=True)
        done = untrained.run(*ONE, MODEL)
        assert done.returncode == 1
        says = r"error: .*last\.ckpt: cannot be written \(No space left on device\); free space"
        assert re.search(says, done.stderr) and re.search(
            says, (untrained.folder / LOG).read_text()
        )
        assert f"log: {LOG}" in done.stderr
        assert not (untrained.folder / MODEL).exists()
        (kept,) = (results.parent / FOLDER).rglob(".checkpoints-model/*/*")
        assert kept.name == "last.ckpt"
        subprocess.run(["mount", "-o", "remount,size=200m", results], check=True, timeout=10)
        done = untrained.run(*ONE, MODEL)
        assert done.returncode == 0, done.stderr
        assert "resuming from" in (untrained.folder / LOG).read_text()
        assert_whole(untrained, trained)


def test_without_a_gpu_where_one_is_required(untrained):
    hidden = {"CUDA_VISIBLE_DEVICES": "", "WSSS_GPU": "required"}
    done = untrained.run(*ONE, MODEL, **hidden)
    assert done.returncode == 1
    assert "error: no GPU is visible, and WSSS_GPU=required" in done.stderr
    assert f"log: {LOG}" in done.stderr
    assert {path.name for path in (untrained.folder / FOLDER).iterdir()} == {"log"}
    done = untrained.plan("--dry-run", MODEL, WSSS_GPU="yes")
    assert done.returncode == 1
    assert "config error: WSSS_GPU is 'yes'; set it to auto or required" in done.stderr


def test_read_only_data(untrained, tmp_path):
    """Images and masks on a file system that nobody can write to, which is left as it was."""
    root = tmp_path / "photos"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(buffer, "JPEG")
        (root / "images" / f"{name}.jpg").write_bytes(buffer.getvalue())
        (root / "masks" / f"{name}.png").write_bytes(palette_png(np.ones((12, 16), np.uint8)))
    (root / "labels.csv").write_text("image,labels\na.jpg,nut\nb.jpg,nut\n")
    (root / "train.txt").write_text("a\n")
    (root / "val.txt").write_text("b\n")
    data = copy.deepcopy(untrained.data)
    recipe = {"kind": "folder", "root": str(root), "classes": ["nut"], "masks": "masks"}
    data["dataset"]["toy"] = recipe
    data["experiments"] = {"other": data["experiments"]["other"]}
    del data["tables"]
    untrained.write(data)
    with disk(root, "--bind", "-o", "ro", str(root)):
        with pytest.raises(OSError, match="Read-only"):
            (root / "x").touch()
        done = untrained.run(*ONE, "results/toy/data/val.masks.h5")
    assert done.returncode == 0, done.stderr


CAM = f"{FOLDER}/single/cam.train.h5"
SCORES = f"{FOLDER}/single/cam.train.eval.json"


def test_a_truncated_file_is_refused_and_made_again(finished, tmp_path):
    workflow = another(finished, tmp_path)
    whole, scores = (finished.folder / CAM).read_bytes(), (finished.folder / SCORES).read_bytes()
    (workflow.folder / CAM).write_bytes(whole[: len(whole) // 2])
    (workflow.folder / SCORES).unlink()
    done = workflow.run(*ONE, SCORES)
    assert done.returncode == 1
    assert f"error: {CAM}: truncated; delete it and run again" in done.stderr
    assert f"log: {FOLDER}/single/log/cam.train.eval.log" in done.stderr
    assert not (workflow.folder / SCORES).exists()
    (workflow.folder / CAM).unlink()
    done = workflow.run(*ONE, SCORES)
    assert done.returncode == 0, done.stderr
    assert (workflow.folder / CAM).read_bytes() == whole
    assert json.loads((workflow.folder / SCORES).read_text()) == json.loads(scores)


def test_a_clock_that_jumps(finished, tmp_path):
    workflow = another(finished, tmp_path)
    files = [path for path in (workflow.folder / "results").rglob("*") if path.is_file()]
    rng = random.Random(0)
    for file in files:
        when = time.time() + rng.uniform(-86400, 86400)
        os.utime(file, (when, when))
    # Same bytes, so nothing is out of date, whatever the times say.
    assert workflow.planned("all") == set()
    (workflow.folder / SCORES).unlink()
    for file in (CAM, "results/toy/data/train.masks.h5"):
        os.utime(workflow.folder / file, (time.time() + 3600,) * 2)
    done = workflow.run(*ONE, SCORES)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in lines] == ["results/toy/data/train.masks.h5", CAM]
    assert all("dated in the future, a clock has jumped" in line for line in lines)
    assert "Execute" not in done.stderr and not (workflow.folder / SCORES).exists()
    for file in (CAM, "results/toy/data/train.masks.h5"):
        (workflow.folder / file).touch()
    done = workflow.run(*ONE, SCORES)
    assert done.returncode == 0, done.stderr
    assert (workflow.folder / SCORES).read_bytes() == (finished.folder / SCORES).read_bytes()


def test_two_jobs_never_share_the_only_gpu(finished, tmp_path):
    workflow = another(finished, tmp_path)
    maps = [workflow.folder / FOLDER / "single" / f"cam.{split}.h5" for split in ("train", "val")]
    for path in maps:
        path.unlink()
    targets = [str(path.relative_to(workflow.folder)) for path in maps]
    done = workflow.run("--cores", "2", "--max-threads", "1", *targets, CUDA_VISIBLE_DEVICES="7")
    assert done.returncode == 0, done.stderr
    spans = []
    for path in maps:
        card = path.parent / "log" / f"{path.name}.run.json"
        end = card.stat().st_mtime
        spans.append((end - json.loads(card.read_text())["seconds"], end))
    first, second = sorted(spans)
    assert first[1] <= second[0]
