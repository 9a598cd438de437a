"""From a command on a run card to the module that it calls today."""

import importlib
import shutil

import pytest

from wsss.core import digest
from wsss.workflow import entry_modules
from wsss.workflow.entry_modules import module_of, stage_of, stages


def test_every_module_has_the_function_whose_card_is_written():
    found = {
        (stage, action): module
        for stage, file in entry_modules._command_lines().items()
        for action, module in entry_modules._modules(file).items()
    }
    assert {stage for stage, _ in found} == set(stages())
    assert found["affinity", "pseudo"] == "wsss.crf.pseudo"
    assert found["data", "export-masks"] == "wsss.data.export"  # named by the function's name
    assert found["weights", "fetch"] == "wsss.commands.weights"  # defined where it is called
    for module in found.values():
        importlib.import_module(module)
        assert len(digest.code_digest(module)) == 12


@pytest.mark.parametrize(
    ("command", "stage", "module"),
    [
        ("--log a.log cam extract --out cam", "cam", "wsss.cam.extraction"),
        ("cam extract", "cam", "wsss.cam.extraction"),
        ("--log saliency cam extract", "cam", "wsss.cam.extraction"),
        ("cam export --out overlays", "cam", None),  # writes no card
        ("cam", "cam", None),
        ("cams extract", None, None),
        ("", None, None),
    ],
)
def test_stage_and_module_of_a_command(command, stage, module):
    assert stage_of(command.split()) == stage
    assert module_of(command.split()) == module


def test_a_module_that_moved_is_found(tmp_path, monkeypatch):
    shutil.copytree(digest.ROOT / "cam", tmp_path / "wsss" / "cam")
    monkeypatch.setattr(digest, "ROOT", tmp_path / "wsss")
    file = tmp_path / "wsss" / "cam" / "cli.py"
    text = file.read_text().replace("wsss.cam.extraction import", "wsss.cam.maps.all import")
    file.write_text(text)
    assert module_of(["cam", "extract"]) == "wsss.cam.maps.all"
