import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MaskReader
from wsss.core.images import voc_palette
from wsss.data.cli import app
from wsss.data.export import export_masks

TOY = json.dumps({"kind": "toy", "train": 3, "val": 2, "size": 32, "classes": 2})


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def made(tmp_path):
    images, masks = tmp_path / "train.h5", tmp_path / "train.masks.h5"
    common = ("--recipe", TOY, "--split", "train")
    done = call("images", *common, "--out", images)
    assert done.exit_code == 0, done.output
    done = call("masks", *common, "--purpose", "evaluation", "--images", images, "--out", masks)
    assert done.exit_code == 0, done.output
    return images, masks


def test_images_and_masks_with_run_cards(made, tmp_path):
    images, masks = made
    assert len(ImageReader(images)) == len(MaskReader(masks)) == 3
    for path in made:
        card = json.loads((tmp_path / "log" / f"{path.name}.run.json").read_text())
        assert card["entry"] == "wsss.data.prepare"
        assert card["recipe"] == json.loads(ImageReader(images).header.recipe)


def test_export_gives_palette_pngs_with_the_same_values(made, tmp_path):
    _, masks = made
    out = tmp_path / "png"
    done = call("export-masks", "--masks", masks, "--out", out)
    assert done.exit_code == 0, done.output
    reader = MaskReader(masks)
    assert sorted(p.name for p in out.iterdir()) == [f"{name}.png" for name in reader.ids]
    for name in reader.ids:
        with Image.open(out / f"{name}.png") as image:
            assert image.mode == "P"
            assert np.array_equal(np.asarray(image), reader[name])
            colours = np.asarray(image.convert("RGB"))
        assert np.array_equal(colours, voc_palette()[reader[name]])


def test_export_does_not_mix_into_a_folder(made, tmp_path):
    out = tmp_path / "png"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="png: not empty; give an empty folder, or --overwrite"):
        export_masks(made[1], out)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert export_masks(made[1], out, overwrite=True) == 3
    assert len(list(out.iterdir())) == 4
    with pytest.raises(UserError, match="a file; give a folder"):
        export_masks(made[1], out / "mine.txt")


def test_validate_prints_and_sets_the_exit_status(folder, folder_recipe, tmp_path):
    done = call("validate", "--recipe", json.dumps(folder_recipe))
    assert done.exit_code == 0
    assert "0 kinds of errors, 0 kinds of warnings" in done.output
    (folder / "masks" / "p0.png").unlink()
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"dataset": {"parts": folder_recipe}}))
    done = call("validate", "--configfile", config, "--dataset", "parts")
    assert done.exit_code == 1
    where = "train evaluation and supervision masks"
    assert f"error: {where}: missing mask: 1" in done.output
    assert "p0.png: no such file" in done.output
    assert "1 kinds of errors, 0 kinds of warnings" in done.output


def test_strict_validation_fails_for_warnings_too(folder, folder_recipe, tmp_path):
    recipe = json.dumps(folder_recipe | {"train_masks_list": None})
    done = call("validate", "--recipe", recipe)
    assert done.exit_code == 0
    assert "warning: train masks: train masks without a list: 3" in done.output
    assert "the columns cam and walk have no evaluation" in done.output
    done = call("validate", "--recipe", recipe, "--strict")
    assert done.exit_code == 1
    assert "1 kinds of errors, 0 kinds of warnings" in done.output


@pytest.mark.parametrize(
    "arguments", [(), ("--recipe", "{}", "--dataset", "x"), ("--dataset", "x")]
)
def test_validate_takes_a_recipe_or_its_name(arguments):
    done = call("validate", *arguments)
    assert done.exit_code == 2
    assert "give --recipe" in done.output


@pytest.mark.parametrize("kind", ["toy", "voc", "folder"])
def test_preview_shows_images_beside_their_masks(kind, voc, folder_recipe, tmp_path):
    recipe = {
        "toy": json.loads(TOY),
        "voc": {"kind": "voc", "root": str(voc), "classes": ["cat", "dog", "person"]},
        "folder": folder_recipe,
    }[kind]
    out = tmp_path / "sheet.png"
    done = call("preview", "--recipe", json.dumps(recipe), "--split", "train", "--out", out)
    assert done.exit_code == 0, done.output
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    image, overlay = pixels[8:196, 8:196], pixels[8:196, 200:388]
    assert image.std() > 10 and overlay.std() > 10
    assert np.abs(image - overlay).mean() > 5


def test_preview_spreads_over_the_split():
    from wsss.data.kind import spread

    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 16) == [0, 1, 2]
    assert spread(0, 4) == []


def test_help_has_an_example_for_every_command():
    for command in ("images", "masks", "validate", "export-masks", "preview"):
        done = call(command, "--help")
        assert done.exit_code == 0
        assert f"wsss data {command}" in done.output.replace("\n", " ")


def documented() -> list[list[str]]:
    """The commands at the top of the stage's page, in their order, with fewer scenes."""
    page = (Path(__file__).parents[2] / "docs" / "stages" / "data.md").read_text()
    lines = re.findall(r"^wsss (data .*)$", page, re.M)
    return [shlex.split(line.replace('{"kind": "toy"}', TOY)) for line in lines]


def in_help() -> list[list[str]]:
    """The examples in the help of the commands, in their order, with fewer scenes."""
    examples = [command.epilog.removeprefix("Example: ") for command in app.registered_commands]
    return [shlex.split(e.removeprefix("wsss ").replace('{"kind": "toy"}', TOY)) for e in examples]


@pytest.mark.parametrize("examples", [documented, in_help])
def test_every_example_runs_in_a_fresh_folder(examples, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text(json.dumps({"dataset": {"toy": json.loads(TOY)}}))
    monkeypatch.chdir(tmp_path)
    commands = examples()
    assert {command[1] for command in commands} == {
        *("images", "masks", "validate", "export-masks", "preview")
    }
    for stage, *arguments in commands:
        assert stage == "data"
        done = call(*arguments)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
    names = re.findall(r"--out (\S+)", " ".join(" ".join(command) for command in commands))
    assert names and all((tmp_path / name).exists() for name in names)
