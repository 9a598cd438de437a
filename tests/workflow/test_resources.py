"""What jobs ask for: time by the number of their images."""

import re

import pytest

from wsss.core.errors import UserError
from wsss.workflow.loading import parse
from wsss.workflow.resources import Minutes, megabytes
from wsss.workflow.site import read_site

from .conftest import TINY, copied

pytestmark = pytest.mark.xdist_group("workflow")


@pytest.mark.parametrize(
    ("site", "minutes"),
    [
        ({}, [960, 1920, 30, 60, 240, 960, 480]),
        ({"WSSS_MAX_MINUTES": "500"}, [500, 500, 30, 60, 240, 500, 480]),
    ],
)
def test_time_grows_with_the_images_of_a_job_as_far_as_the_site_allows(site, minutes):
    toy = TINY["dataset"]["toy"] | {"train": 20_000, "val": 100}
    config = parse(TINY | {"dataset": {"toy": toy}, "shards": 4})
    budget = Minutes(config, read_site(site).max_minutes)

    def asked(attempt=1, **wildcards):
        return budget.by_images(480, {"dataset": "toy"} | wildcards, attempt)

    assert [
        *(asked(), asked(attempt=2), asked(split="val"), asked(split="val", attempt=2)),
        *(asked(split="train", shard=".2-of-4"), asked(split="train", shard="")),
        asked(dataset="voc"),
    ] == minutes


def test_memory_grows_with_gpus_and_attempts():
    assert megabytes(8000, 1) == 8000
    assert megabytes(8000, 2, gpus=4) == 64_000


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("WSSS_ENV", "gpu", "WSSS_ENV is 'gpu'; set it to cuda or cpu"),
        (
            "WSSS_MAX_MINUTES",
            "2 days",
            "WSSS_MAX_MINUTES is '2 days'; set it to the minutes a job may take",
        ),
    ],
)
def test_a_value_of_the_site_that_means_nothing_is_refused(variable, value, says):
    with pytest.raises(UserError) as error:
        read_site({variable: value})
    assert str(error.value) == says


def test_the_workflow_ends_with_that_line(tmp_path):
    workflow = copied(tmp_path)
    done = workflow.plan("--dry-run", "--quiet", "all", "all", WSSS_MAX_MINUTES="2 days")
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
    done = workflow.run("--cores", "1", "--jobs", "2", *files)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^(Job \d|Finished)|^.* of .* steps", done.stderr, re.M)
    assert [word[:3] for word in said if word] == ["Job", "Fin", "Job", "Fin"]
