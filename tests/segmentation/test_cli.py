import json
import subprocess
import sys

from typer.testing import CliRunner

from wsss.core.files.store import MapReader, MaskReader
from wsss.segmentation.cli import app


def run(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output + str(done.exception)


def test_predict_and_masks_write_their_outputs_and_run_cards(trained, split, tmp_path):
    scores, masks = tmp_path / "prediction.train.h5", tmp_path / "masks.train.h5"
    recipe = '{"scales": [1.0], "flip": false}'
    run(
        *("predict", "--recipe", recipe, "--model", trained, "--images", split.images),
        *("--threads", 1, "--out", scores),
    )
    run("masks", "--scores", scores, "--out", masks, "--png", tmp_path / "png")
    assert MapReader(scores).ids == MaskReader(masks).ids == MaskReader(split.masks).ids
    assert json.loads(MapReader(scores).header.recipe)["scales"] == [1.0]
    card = json.loads((tmp_path / "log" / "prediction.train.h5.run.json").read_text())
    assert (card["entry"], card["recipe"]["flip"]) == ("wsss.segmentation.predict", False)
    assert (tmp_path / "log" / "masks.train.h5.run.json").is_file()


def test_help_and_recipes_are_quick():
    code = (
        "import sys, wsss.segmentation.cli, wsss.segmentation.recipe;"
        "sys.exit(bool({'torch', 'h5py', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
