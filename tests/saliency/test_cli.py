import json

import numpy as np
import pytest
from typer.testing import CliRunner

from wsss.core.recipe import canonical_json
from wsss.core.store import MapReader, MaskReader
from wsss.saliency.cli import app

from .conftest import tiny
from .test_train_network import tiny as tiny_network


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_whole_stage(split, tmp_path):
    model, maps, masks, network, saliency = (
        tmp_path / name
        for name in (
            "c2am.safetensors",
            "c2am.train.h5",
            "c2am.masks.train.h5",
            "network.safetensors",
            "saliency.train.h5",
        )
    )
    tta = canonical_json({"scales": [1.0], "flip": False})
    common = ["--images", split.images, "--recipe"]
    calls = [
        ["train-c2am", "--hints", split.maps, *common, tiny().to_json(), "--out", model],
        ["c2am", "--model", model, *common, tta, "--out", maps],
        ["masks", "--maps", maps, *common, "{}", "--out", masks],
        ["train", "--masks", masks, *common, tiny_network().to_json(), "--out", network],
        ["predict", "--model", network, *common, tta, "--out", saliency],
    ]
    for arguments in calls:
        assert call(*arguments).exit_code == 0
    found = MaskReader(masks)
    assert found.header.classes == ("salient",) and len(found) == 10
    assert set(np.unique(np.concatenate([mask.ravel() for _, mask in found]))) <= {0, 1}
    assert MapReader(saliency).ids == MapReader(maps).ids == found.ids
    for out in (model, maps, masks, network, saliency):
        card = json.loads((tmp_path / "log" / f"{out.name}.run.json").read_text())
        assert card["output"] == out.name and len(card["code"]) == 12


@pytest.mark.parametrize("command", ["train-c2am", "c2am", "masks", "train", "predict"])
def test_help_has_an_example(command):
    assert f"wsss saliency {command}" in call(command, "--help").output
