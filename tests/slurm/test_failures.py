"""Failures of a cluster: a training that meets them ends with the bytes of one that does not.

Failures of one machine are in tests/workflow/test_failures.py.
"""

import copy
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from ..workflow.conftest import Workflow
from ..workflow.failures import checkpoints, jobs_of, until
from .conftest import output

# Once is enough: only the words differ that Snakemake finds for a failure.
pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.slow,
    pytest.mark.parametrize("cluster", ["sacct"], indirect=True),
]

HUNGRY, SLOW = (f"results/toy/seed{seed}/one" for seed in (0, 1))
MODEL = "model.safetensors"
LOG = "log/model.log"
EPOCHS = 8


@pytest.fixture
def trainings(study) -> Workflow:
    """The study with its images made, and trainings long enough to be interrupted often."""
    data = copy.deepcopy(study.data)
    data["classifier"]["one"]["training"] = {"epochs": EPOCHS, "batch_size": 8}
    study.write(data)
    images = [f"results/toy/data/{split}.h5" for split in ("train", "val")]
    done = study.run("--cores", "2", "--max-threads", "1", *images)
    assert done.returncode == 0, done.stderr
    return study


@contextmanager
def started(study: Workflow, *arguments: str):
    """Snakemake and the file of what it says; it and its jobs are gone after."""
    with (study.folder / "said").open("w") as said:
        snakemake = study.start(*study.options, *arguments, said=said)
        try:
            yield snakemake, study.folder / "said"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(snakemake.pid, signal.SIGKILL)
            snakemake.communicate()
            output("scancel", "--user", "root")
            until(lambda: not jobs_of(study))


def last_job(cluster, study: Workflow, folder: str) -> dict[str, str]:
    """The newest Slurm job of the training in a folder; {} if there is none yet."""
    _, dataset, seed, classifier = folder.split("/")
    wildcards = f"{dataset}_{seed.removeprefix('seed')}_{classifier}"
    comment = f"rule_classifier_train_wildcards_{wildcards}"
    here = [job for job in cluster.jobs() if job["WorkDir"] == str(study.folder)]
    found = [job for job in here if job.get("Comment") == comment]
    return max(found, key=lambda job: int(job["JobId"]), default={})


def held(cluster, study: Workflow, folder: str, before: set) -> dict[str, str]:
    """The Slurm job of a training, which is stopped after a checkpoint that is not among `before`.

    Stopped by SIGSTOP, so that it cannot end before its fault comes. Slurm lets it go on with the
    signal that ends it.
    """
    until(lambda: checkpoints(study.folder / folder) - before)
    for process in jobs_of(study, f"{folder}/{MODEL}"):
        os.kill(process, signal.SIGSTOP)
    job = last_job(cluster, study, folder)
    assert job["JobState"] == "RUNNING"
    return job


def in_state(cluster, study: Workflow, folder: str, state: str) -> dict[str, str]:
    """The newest Slurm job of the training in a folder as soon as it is in a state."""

    def reached():
        job = last_job(cluster, study, folder)
        return job if job.get("JobState") == state else None

    return until(reached)


def start_again(cluster, study: Workflow, folder: str, job: str) -> None:
    """Let a requeued job begin soon, not after Slurm's two minutes.

    In a later second than its end: the node revokes credentials of a job as of that second, and
    Slurm fails a job whose credential is revoked.
    """
    assert in_state(cluster, study, folder, "PENDING")["JobId"] == job
    output("scontrol", "update", f"JobId={job}", "StartTime=now+2")


def lose_node(cluster, study: Workflow, snakemake: subprocess.Popen, job: str) -> None:
    """All processes of the node end at once, and Slurm hears no more of it."""
    lost = [int((cluster.state / "slurmd.pid").read_text())]
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                step = (process / "cmdline").read_text().startswith(f"slurmstepd: [{job}.")
                here = (process / "cwd").readlink() == study.folder
                if step or (here and os.getsid(int(process.name)) != snakemake.pid):
                    lost.append(int(process.name))
    for process in lost:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    output("scontrol", "update", f"NodeName={os.uname().nodename}", "State=DOWN", "Reason=lost")


def test_memory_time_preemption_and_a_lost_node(cluster, trainings):
    study = trainings
    little = "500 if wildcards.seed == '0' and attempt == 1 else 4000 * attempt"
    profile = study.folder / "profiles/slurm/config.yaml"
    entries = yaml.safe_load(profile.read_text())
    entries["set-resources"]["classifier_train"] |= {"mem_mb": little}
    profile.write_text(yaml.safe_dump(entries))
    targets = [f"{folder}/{MODEL}" for folder in (HUNGRY, SLOW)]
    with started(study, *targets) as (snakemake, said):
        # By time.
        before = checkpoints(study.folder / SLOW)
        first = held(cluster, study, SLOW, before)
        before = checkpoints(study.folder / SLOW)
        output("scontrol", "update", f"JobId={first['JobId']}", "EndTime=now")
        in_state(cluster, study, SLOW, "TIMEOUT")
        second = held(cluster, study, SLOW, before)
        assert second["JobId"] != first["JobId"] and second["Requeue"] == "1"
        assert "resuming from" in (study.folder / SLOW / LOG).read_text()
        before = checkpoints(study.folder / SLOW)

        # By memory, the other one; with more it ends.
        in_state(cluster, study, HUNGRY, "COMPLETED")
        assert not (study.folder / SLOW / MODEL).exists()

        # Preempted: Slurm itself starts the job again.
        urgent = ["sbatch", "--partition=urgent", "--gpus=2", "--mem=10", "--output=/dev/null"]
        output(*urgent, "--wrap=true")
        start_again(cluster, study, SLOW, second["JobId"])

        # Its node is lost: so again.
        third = held(cluster, study, SLOW, before)
        assert (third["JobId"], third["Restarts"]) == (second["JobId"], "1")
        assert "resuming from" in (study.folder / SLOW / LOG).read_text()
        lose_node(cluster, study, snakemake, third["JobId"])
        assert in_state(cluster, study, SLOW, "PENDING")["JobId"] == second["JobId"]
        assert not (study.folder / SLOW / MODEL).exists()
        cluster.start_node()
        start_again(cluster, study, SLOW, second["JobId"])

        snakemake.communicate(timeout=600)
        text = said.read_text()
        assert snakemake.returncode == 0, text
        assert last_job(cluster, study, SLOW)["Restarts"] == "2"
        assert "resuming from" in (study.folder / SLOW / LOG).read_text()
    hungry = [job for job in cluster.jobs() if job.get("Comment", "").endswith("_toy_0_one")]
    asked = {job["MinMemoryNode"]: job["JobState"] for job in hungry}
    assert asked == {"500M": "FAILED", "8000M": "COMPLETED"}
    assert "SLURM status is: 'TIMEOUT'" in text
    for folder in (HUNGRY, SLOW):
        assert f"log: {folder}/{LOG}" in text
    assert ".snakemake/slurm_logs/rule_classifier_train" in text
    assert study.planned(*targets) == set()

    # Once more on this machine, without Slurm or a fault.
    found = (study.folder / SLOW / MODEL).read_bytes()
    assert not [*(study.folder / SLOW).glob(".*")]
    shutil.rmtree(study.folder / SLOW)
    done = study.run("--cores", "2", "--max-threads", "2", f"{SLOW}/{MODEL}")
    assert done.returncode == 0, done.stderr
    assert (study.folder / SLOW / MODEL).read_bytes() == found


def test_snakemake_interrupted_then_killed(cluster, trainings):
    study, model = trainings, f"{SLOW}/{MODEL}"
    with started(study, model) as (snakemake, said):
        held(cluster, study, SLOW, set())
        before = checkpoints(study.folder / SLOW)
        os.killpg(snakemake.pid, signal.SIGINT)  # Ctrl-C
        snakemake.communicate(timeout=300)
        assert snakemake.returncode == 1, said.read_text()
        in_state(cluster, study, SLOW, "CANCELLED")
        assert not (study.folder / model).exists()
    with started(study, model) as (snakemake, _):
        job = held(cluster, study, SLOW, before)
        snakemake.kill()
        snakemake.wait()
        done = study.snakemake(*study.options, model)
        assert done.returncode == 1
        assert "Directory cannot be locked" in done.stderr and "--unlock" in done.stderr
        # Its job runs on, until it is cancelled as docs/cluster.md says.
        assert in_state(cluster, study, SLOW, "RUNNING")["JobId"] == job["JobId"]
        output("scancel", job["JobId"])
        in_state(cluster, study, SLOW, "CANCELLED")
    assert study.plan("--unlock").returncode == 0
    done = study.run(*study.options, model)
    assert done.returncode == 0, done.stderr
    assert "resuming from" in (study.folder / SLOW / LOG).read_text()
    assert study.planned(model) == set()
