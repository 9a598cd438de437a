"""What a machine lacks is told before anything runs: variables, data folders, weights files."""

import copy
from pathlib import Path

import pytest

from wsss.core.configfile import merge_used, read_yaml
from wsss.workflow.checks import missing_surroundings
from wsss.workflow.loading import parse

DEMO = merge_used(read_yaml(Path(__file__).parents[2] / "config.yaml"), "config.yaml")


def lacking(root: str, weights: str | None = None) -> list[str]:
    """The lines about the demo's experiments on a folder of one's own."""
    data = copy.deepcopy(DEMO)
    data["dataset"]["toy"] = {"kind": "folder", "root": root, "classes": ["nut"]}
    data["classifier"]["vanilla"]["backbone"]["weights"] = weights
    data |= {"experiments": {"vanilla": data["experiments"]["vanilla"]}, "tables": {}}
    return missing_surroundings(parse(data))


def test_nothing_is_lacking(tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(b"")
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert missing_surroundings(parse(DEMO)) == []
    assert lacking("${DATA}", "~/w.safetensors") == []
    assert lacking("~", "timm:resnet10t.c3_in1k") == []


@pytest.mark.parametrize(
    ("root", "weights", "lines"),
    [
        (
            "${ABSENT}/x",
            "${ABSENT}/w",
            [
                "dataset.toy.root: environment variable ABSENT is not set; export ABSENT=…",
                "classifier.vanilla: weights: environment variable ABSENT is not set; "
                "export ABSENT=…",
            ],
        ),
        (
            "$DATA",
            "$DATA/w",
            [
                "dataset.toy.root: '$DATA': write an environment variable as ${DATA}",
                "classifier.vanilla: weights: '$DATA/w': write an environment variable as ${DATA}",
            ],
        ),
        (
            "${DATA}/file",
            "${DATA}",
            [
                "dataset.toy.root: no folder '{data}/file'; correct '${DATA}/file'",
                "classifier.vanilla: weights: no file '{data}'; correct '${DATA}'",
            ],
        ),
    ],
)
def test_each_lack_is_told_once(tmp_path, monkeypatch, root, weights, lines):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.delenv("ABSENT", raising=False)
    assert lacking(root, weights) == [line.replace("{data}", str(tmp_path)) for line in lines]
