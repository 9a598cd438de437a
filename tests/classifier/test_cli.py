import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from wsss.classifier.cli import app
from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader
from wsss.core.images import decode
from wsss.nn.cam_network import load_cam_network
from wsss.nn.transforms import normalise


@pytest.fixture(scope="module")
def model(images, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "model.safetensors"
    arguments = ["train", "--recipe", recipe(epochs=1).to_json(), "--images", str(images)]
    arguments += ["--seed", "4", "--threads", "1", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return out


def test_train_writes_a_model_and_its_run_card(model):
    card = json.loads((model.parent / "log" / f"{model.name}.run.json").read_text())
    assert card["entry"] == "wsss.classifier.train" and card["seed"] == 4
    assert card["recipe"]["training"]["epochs"] == 1


def test_predict_writes_the_probabilities_of_whole_images(model, images, tmp_path):
    out = tmp_path / "scores.csv"
    arguments = ["predict", "--model", str(model), "--images", str(images), "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    with out.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "red", "green", "blue"]
    reader = ImageReader(images)
    assert [row[0] for row in rows[1:]] == reader.ids
    trained = load_cam_network(model)
    x = normalise(decode(reader[3].data), trained.backbone)[None]
    with torch.inference_mode():
        expected = trained.network.eval()(x).logits.sigmoid()[0].numpy()
    np.testing.assert_allclose([float(v) for v in rows[4][1:]], expected, atol=1e-3)


def test_bad_recipes_end_before_anything_is_written(images, tmp_path):
    arguments = [
        "train",
        "--recipe",
        '{"objective": "vanilla", "epochs": 3}',
        "--images",
        str(images),
    ]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "m.safetensors")])
    assert isinstance(done.exception, UserError)
    assert "epochs: unknown key" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["wsss.classifier.cli", "wsss.classifier.recipe"])
def test_the_command_line_and_recipe_load_without_torch(module):
    heavy = "[m for m in ('torch', 'h5py', 'numpy') if m in sys.modules]"
    code = f"import sys, {module}; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
