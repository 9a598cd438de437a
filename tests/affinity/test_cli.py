import json

import numpy as np
import pytest
from typer.testing import CliRunner

from wsss.affinity.cli import app
from wsss.core.files.store import MapReader, MaskReader


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_whole_stage(files, weights, tmp_path, network_recipe):
    labels, model, walk, pseudo = (
        tmp_path / name
        for name in ("labels.train.h5", "model.safetensors", "walk.train.h5", "pseudo.train.h5")
    )
    common = ["--images", files.images, "--recipe"]
    network, plain = network_recipe().to_json(), '{"crf":{"steps":0}}'
    calls = [
        ["labels", "--maps", files.maps, *common, plain, "--workers", 1, "--out", labels],
        ["train", "--labels", labels, "--weights", weights, *common, network, "--out", model],
        ["walk", "--model", model, "--maps", files.maps, *common, '{"steps":64}', "--out", walk],
        ["pseudo", "--maps", walk, *common, "{}", "--workers", 1, "--out", pseudo],
    ]
    for arguments in calls:
        assert call(*arguments).exit_code == 0
    maps, masks = MapReader(files.maps), MaskReader(pseudo)
    assert masks.ids == maps.ids and MapReader(walk).ids == maps.ids
    for one in maps:
        assert set(np.unique(masks[one.id])) <= {0, *one.classes.tolist()}
    for out in (labels, model, walk, pseudo):
        card = json.loads((tmp_path / "log" / f"{out.name}.run.json").read_text())
        assert card["output"] == out.name and len(card["code"]) == 12
    assert json.loads((tmp_path / "log" / "walk.train.h5.run.json").read_text())["recipe"] == {
        **{"beta": 10.0, "flip": True, "radius": 5, "steps": 64}
    }


@pytest.mark.parametrize("command", ["labels", "train", "walk", "pseudo"])
def test_help_has_an_example(command):
    text = call(command, "--help").output
    assert f"wsss affinity {command}" in text
