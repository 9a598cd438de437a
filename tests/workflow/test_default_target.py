"""Without a target Snakemake makes everything, from the top and from where the catalog looks."""

import shutil

import pytest

from .conftest import ROOT, copied

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
