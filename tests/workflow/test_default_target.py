"""Without a target Snakemake makes everything, from the top and from where the catalog looks."""

import shutil
import textwrap

import pytest
import yaml

from wsss.core.configfile import merge_used

from .conftest import ROOT, copied, planner

pytestmark = pytest.mark.xdist_group("workflow")


def test_a_bare_command_plans_everything(tmp_path):
    workflow = copied(tmp_path)
    everything = workflow.planned("all")
    assert len(everything) > 50
    assert workflow.planned() == everything


def test_the_module_of_the_catalog_plans_the_same(tmp_path):
    workflow = copied(tmp_path)
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    assert workflow.planned("--snakefile", "workflow/Snakefile") == workflow.planned("all")


def test_the_module_of_the_catalog_keeps_the_demo_out_of_a_study(tmp_path):
    """`configfile:` of either file would merge the demo's experiments into the study."""
    workflow = copied(tmp_path)
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    shutil.copy(ROOT / "config.yaml", tmp_path / "config.yaml")
    assert workflow.planned("--snakefile", "workflow/Snakefile") == workflow.planned("all")


def test_the_configuration_for_the_catalog_is_the_demo():
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())
    demo["use"] = [str(ROOT / file) for file in demo["use"]]
    whole = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert merge_used(whole, "whole") == merge_used(demo, "demo"), "run make generated"


def test_a_folder_that_snakedeploy_made_plans_the_demo(tmp_path):
    """It has a Snakefile with this workflow as a module, and a copy of config/, and no more."""
    deployed, folder = tmp_path / "deployed", tmp_path / "clone"
    folder.mkdir()
    clone = copied(folder)
    for name in ("workflow", "recipes"):
        shutil.copytree(ROOT / name, clone.folder / name)
    shutil.copy(ROOT / "config.yaml", clone.folder)
    shutil.copytree(ROOT / "config", deployed / "config")
    (deployed / "workflow").mkdir()
    text = f"""
        configfile: "config/config.yaml"

        module wsss:
            snakefile: "{clone.folder}/workflow/Snakefile"
            config: config

        use rule * from wsss
    """
    (deployed / "workflow" / "Snakefile").write_text(textwrap.dedent(text))
    planned = []
    for folder in (clone.folder, deployed):
        done = planner().run(["--dry-run", "--printshellcmds"], folder, clone.study_environment())
        assert done.returncode == 0, done.stdout + done.stderr
        planned.append(clone.made_by(done))
    assert planned[0] == planned[1] and len(planned[0]) > 30
