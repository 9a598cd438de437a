"""What jobs ask for: time by the number of their images."""

import json

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


def test_time_grows_with_the_images_of_a_job(tmp_path):
    workflow = copied(tmp_path)
    toy = workflow.data["dataset"]["toy"] | {"train": 20_000, "val": 100}
    workflow.write(workflow.data | {"dataset": {"toy": toy}, "shards": 4})
    (tmp_path / "asking.smk").write_text(ASKING)
    done = workflow.snakemake("--snakefile", "asking.smk", "--dry-run", "--quiet", "all", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[0]) == [960, 1920, 30, 60, 240, 960, 480]


def test_weights_belong_to_no_data_set(tmp_path):
    weights = "results/weights/resnet10t.c3_in1k.safetensors"
    workflow = copied(tmp_path)
    one = workflow.data["classifier"]["one"]
    backbone = one["backbone"] | {"weights": "timm:resnet10t.c3_in1k"}
    pretrained = workflow.data["classifier"] | {"one": one | {"backbone": backbone}}
    workflow.write(workflow.data | {"classifier": pretrained})
    assert weights in workflow.planned("results/toy/seed0/one/model.safetensors")
