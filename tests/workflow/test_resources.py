"""What jobs ask for: time by the number of their images."""

import json
import re

import pytest

from .conftest import copied

pytestmark = pytest.mark.xdist_group("workflow")

ASKING = """
include: "Snakefile"

from snakemake.iocontainers import Wildcards

def asked(attempt=1, **wildcards):
    return minutes_for_10000(480)(Wildcards(fromdict={"dataset": "toy"} | wildcards), attempt)

print(json.dumps([
    asked(), asked(attempt=2), asked(split="val"), asked(split="val", attempt=2),
    asked(split="train", shard=".2-of-4"), asked(split="train", shard=""), asked(dataset="voc"),
]))
"""


@pytest.mark.parametrize(
    ("site", "minutes"),
    [
        ({}, [960, 1920, 30, 60, 240, 960, 480]),
        ({"WSSS_MAX_MINUTES": "500"}, [500, 500, 30, 60, 240, 500, 480]),
    ],
)
def test_time_grows_with_the_images_of_a_job_as_far_as_the_site_allows(tmp_path, site, minutes):
    workflow = copied(tmp_path)
    toy = workflow.data["dataset"]["toy"] | {"train": 20_000, "val": 100}
    workflow.write(workflow.data | {"dataset": {"toy": toy}, "shards": 4})
    (tmp_path / "asking.smk").write_text(ASKING)
    asking = ["--snakefile", "asking.smk", "--dry-run", "--quiet", "all", "all"]
    done = workflow.snakemake(*asking, **site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[0]) == minutes
    done = workflow.snakemake(*asking, WSSS_MAX_MINUTES="2 days")
    assert done.returncode == 1
    says = "config error: WSSS_MAX_MINUTES is '2 days'; set it to the minutes a job may take"
    assert done.stderr.splitlines()[-1] == says


def test_weights_belong_to_no_data_set(tmp_path):
    weights = "results/weights/resnet10t.c3_in1k.safetensors"
    workflow = copied(tmp_path)
    one = workflow.data["classifier"]["one"]
    backbone = one["backbone"] | {"weights": "timm:resnet10t.c3_in1k"}
    pretrained = workflow.data["classifier"] | {"one": one | {"backbone": backbone}}
    workflow.write(workflow.data | {"classifier": pretrained})
    assert weights in workflow.planned("results/toy/seed0/one/model.safetensors")


@pytest.mark.slow
def test_a_number_of_jobs_does_not_lift_the_limit_of_cores(tmp_path):
    workflow = copied(tmp_path)
    files = [f"results/toy/data/{split}.h5" for split in ("train", "val")]
    done = workflow.snakemake("--cores", "1", "--jobs", "2", *files)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^(Job \d|Finished)|^.* of .* steps", done.stderr, re.M)
    assert [word[:3] for word in said if word] == ["Job", "Fin", "Job", "Fin"]
