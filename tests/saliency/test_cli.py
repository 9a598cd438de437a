import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.files.store import MapReader, MaskReader
from wsss.core.maps import upsample
from wsss.core.recipe import canonical_json
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
    training = tiny().training.model_copy(update={"epochs": 15})
    longer = tiny(training=training)
    pseudo = canonical_json({"threshold": 0.5, "crf": {"steps": 1}})
    common = ["--images", split.images, "--recipe"]
    calls = [
        ["train-c2am", "--hints", split.maps, *common, longer.to_json(), "--out", model],
        ["c2am", "--model", model, *common, tta, "--out", maps],
        ["masks", "--maps", maps, *common, pseudo, "--out", masks],
        ["train", "--masks", masks, *common, tiny_network().to_json(), "--out", network],
        ["predict", "--model", network, *common, tta, "--out", saliency],
    ]
    for arguments in calls:
        assert call(*arguments).exit_code == 0
    found = MaskReader(masks)
    assert found.header.classes == ("salient",) and len(found) == 10
    assert set(np.unique(np.concatenate([mask.ravel() for _, mask in found]))) <= {0, 1}
    assert MapReader(saliency).ids == MapReader(maps).ids == found.ids
    folder = tmp_path / "pngs"
    assert call("export", "--maps", saliency, "--out", folder).exit_code == 0
    record = MapReader(saliency)["i3"]
    with Image.open(folder / "i3.png") as png:
        assert png.mode == "L" and png.size == record.size[::-1]
        expected = 255 * upsample(record.maps, record.size)[0]
        np.testing.assert_allclose(np.array(png), expected, atol=0.5 + 1e-3)
    for out in (model, maps, masks, network, saliency):
        card = json.loads((tmp_path / "log" / f"{out.name}.run.json").read_text())
        assert card["output"] == out.name and len(card["code"]) == 12


def test_maps_of_classes_are_not_exported_as_saliency(split, tmp_path):
    with pytest.raises(UserError, match="classes red, blue, not salient; give saliency maps"):
        call("export", "--maps", split.maps, "--out", tmp_path / "pngs")
    assert not (tmp_path / "pngs").exists()
