"""The set-up's promises: exact pins without addresses, one set of versions everywhere."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line
)
PINS = {canonicalize_name(name): version for name, version in PINS.items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_torch_and_torchvision_are_a_matched_pair():
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0]


def test_every_dependency_is_pinned_and_installed_as_pinned():
    listed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for text in listed:
        name = canonicalize_name(Requirement(text).name)
        assert name in PINS, f"{name}: add it to constraints.txt"
        assert importlib.metadata.version(name) == PINS[name]


def test_pins_are_exact_and_without_addresses():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!]+", line), line


def test_one_version_everywhere():
    import yaml

    from wsss import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    latest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert PROJECT["dynamic"] == ["version"]  # pyproject takes it from the package
    assert citation["version"] == __version__ == latest[1]
