"""`snakemake --profile slurm tables` from images to tables, with GPU jobs on a real Slurm."""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.xdist_group("slurm"), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
COLUMNS = ["cam", "walk", "pseudo", "prediction"]  # whatever needs a GPU, and some that does not


def test_the_profile_names_every_rule_with_a_gpu():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    rules = set()
    for file in (ROOT / "rules").glob("*.smk"):
        for block in re.split(r"^(?=(?:use )?rule )", file.read_text(), flags=re.M):
            name = re.match(r"rule (\w+):|use rule (\w+) as (\w+)", block)
            if name and (re.search(r"\bgpu=", block) or name[2] in rules):
                rules.add(name[1] or name[3])
    assert set(profile["set-resources"]) == rules
    assert {r["slurm_partition"] for r in profile["set-resources"].values()} == {"gpu"}


def default_but_small():
    """The configuration of the demo with its experiments and tables, in seconds."""
    data = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert data.pop("use") == ["recipes/toy.yaml"]
    data |= yaml.safe_load((ROOT / "recipes/toy.yaml").read_text())
    data["dataset"]["toy"] |= {"train": 32, "val": 8}
    data["classifier"]["vanilla"]["training"]["epochs"] = 1
    data["affinity"]["rw"]["network"]["training"]["epochs"] = 1
    data["segmentation"]["deeplab"]["train"]["training"]["epochs"] = 1
    return data


@pytest.mark.parametrize("cluster", ["sacct"], indirect=True)
def test_the_whole_pipeline(cluster, study):
    """Trainings also ask for both GPUs."""
    data = default_but_small() | {"training_gpus": 2}
    data["tables"] = {"stages": {"experiments": [*data["experiments"]], "columns": COLUMNS}}
    study.write(data)
    done = study.run(*study.options, "tables")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    table = (study.folder / "results/tables/stages.md").read_text().replace("*", "")
    assert re.search(r"vanilla +\|( +[\d.]+ +\|){4}", table), table
    assert re.search(r"supervised +\|( +– +\|){3} +[\d.]+[^|]*\|", table), table
    with_gpu = assert_on_their_partitions(cluster, study)
    assert len(with_gpu) >= 8
    trainings = trainings_of(with_gpu)
    assert len(trainings) == 4
    assert {job["TresPerJob"] for job in trainings} == {"gres:gpu:2"}
    log = (study.folder / "results/toy/seed0/vanilla/log/model.log").read_text()
    assert "torch cannot use GPU 0, 1" in log
    assert_apart(with_gpu, gpus_of_jobs(study.folder))
    assert study.planned("tables") == set()


@pytest.mark.parametrize("cluster", ["squeue"], indirect=True)
def test_jobs_with_and_without_gpus_without_accounting(cluster, study):
    """Only what asks for a job's state differs, so a few jobs are enough."""
    study.write(default_but_small() | {"training_gpus": 1, "seeds": [0, 1]})
    models = [f"results/toy/seed{seed}/vanilla/model.safetensors" for seed in (0, 1)]
    done = study.run(*study.options, *models)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert all((study.folder / model).is_file() for model in models)
    with_gpu = assert_on_their_partitions(cluster, study)
    assert with_gpu == trainings_of(with_gpu) and len(with_gpu) == 2
    assert {job["TresPerJob"] for job in with_gpu} == {"gres:gpu:1"}
    log = (study.folder / "results/toy/seed0/vanilla/log/model.log").read_text()
    assert "torch cannot use GPU 0, 1" not in log
    assert_apart(with_gpu, gpus_of_jobs(study.folder))
    assert study.planned(*models) == set()


def assert_on_their_partitions(cluster, study):
    """All of a study's Slurm jobs ended well, on the partition of their kind; those with a GPU."""
    jobs = [job for job in cluster.jobs() if job.get("WorkDir") == str(study.folder)]
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    with_gpu = [job for job in jobs if "gpu" in job.get("TresPerJob", "")]
    assert {job["Partition"] for job in with_gpu} == {"gpu"}
    assert {job["Partition"] for job in jobs if job not in with_gpu} == {"cpu"}
    return with_gpu


def trainings_of(jobs):
    return [job for job in jobs if re.match(r"rule_[a-z]+_train_", job["Comment"])]


def gpus_of_jobs(folder):
    """Slurm's job → CUDA_VISIBLE_DEVICES, as run cards tell them."""
    cards = [json.loads(path.read_text()) for path in (folder / "results").rglob("*.run.json")]
    return {card["slurm_job"]: card["gpus"] for card in cards if card["slurm_job"]}


def assert_apart(jobs, gpus):
    """Jobs that ran at the same time had GPUs of their own, and some did."""
    together = 0
    for a, b in itertools.combinations(jobs, 2):
        if max(a["StartTime"], b["StartTime"]) < min(a["EndTime"], b["EndTime"]):
            assert {gpus[a["JobId"]], gpus[b["JobId"]]} == {"0", "1"}
            together += 1
    assert together
