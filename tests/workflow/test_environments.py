"""Environments of jobs: conda files and containers with the pinned versions, and who names them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .conftest import ROOT, copied

ENVS = ROOT / "envs"
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
}
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
# Snakemake runs outside the jobs' environments.
OUTSIDE = {"snakemake", "snakemake-executor-plugin-slurm"}


def packages(name):
    """{package: version} of a conda file, by the names that PyPI has for them."""
    *conda, last = yaml.safe_load((ENVS / name).read_text())["dependencies"]
    found = dict(item.split("==") for item in last["pip"])
    for item in conda:
        match = re.fullmatch(r"(\S+) =([\d.]+)(=cpu\*)?", item)
        if match and match[1] != "python":
            found[{"pytorch": "torch"}.get(match[1], match[1])] = match[2]
    return found


@pytest.mark.parametrize("name", ["wsss-cpu.yaml", "wsss-cuda.yaml"])
def test_conda_files_have_the_pinned_versions(name):
    found = packages(name)
    needed = {canonicalize_name(Requirement(text).name) for text in DEPENDENCIES}
    assert set(found) == needed - OUTSIDE
    assert found == {name: PINS[name] for name in found}


def test_every_rule_names_the_environment_of_its_machine():
    """Rules with a GPU the one with CUDA, unless told otherwise; all others the one without."""
    named = {}
    for file in {*(ROOT / "rules").glob("*.smk")} - {ROOT / "rules/targets.smk"}:
        for block in re.split(r"^(?=(?:use )?rule )", file.read_text(), flags=re.M):
            if rule := re.match(r"rule (\w+):", block):
                named[rule[1]] = (" gpu=" in block, re.search(r"conda:\n +(.*)", block)[1])
    assert len(named) > 20
    for rule, (gpu, environment) in named.items():
        assert environment == ("SITE.gpu_env" if gpu else '"../envs/wsss-cpu.yaml"'), rule


def test_containers_install_the_dependencies_as_pinned(tmp_path):
    """Both recipes run install.sh beside the two files that it reads, and nothing else."""
    install = (ENVS / "install.sh").read_text()
    listing = install.partition("<< 'EOF'\n")[2].partition("EOF\n")[0]
    assert 'pip" install --no-cache-dir --constraint "$here/constraints.txt"' in install
    # The part that lists what to install, run as it stands.
    script = tmp_path / "list.py"
    script.write_text(listing)
    listed = subprocess.check_output([sys.executable, script, ROOT / "pyproject.toml"], text=True)
    assert listed.split() == DEPENDENCIES
    needed = {"pyproject.toml", "constraints.txt", "envs/install.sh"}
    oci, apptainer = (ENVS / "Containerfile").read_text(), (ENVS / "wsss.def").read_text()
    assert set(re.search(r"^COPY (.*) /opt/wsss/$", oci, re.M)[1].split()) == needed
    copies = dict(re.findall(r"^ +(\S+\.\w+) (/opt/\S+)$", apptainer, re.M))
    assert copies == {file: f"/opt/wsss/{Path(file).name}" for file in needed}
    for recipe in (oci, apptainer):
        assert "sh /opt/wsss/install.sh" in recipe
        assert re.search(r"PATH=/opt/wsss/venv/bin:\$PATH", recipe)
        assert re.search(r"^From:? debian:12-slim$", recipe, re.M | re.I)


# What Snakemake does with them: a conda and an apptainer that only note what runs in them.

CONDA = """#!{python}
import json, pathlib, sys
match sys.argv[1:]:
    case ["--version"]:
        print("conda 25.1.0")
    case ["info", "--json"]:
        print(json.dumps({{"conda_prefix": {prefix!r}, "platform": "linux-64"}}))
    case ["config", *_]:
        print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
    case ["env", "create", *rest]:
        file, place = (rest[rest.index(option) + 1] for option in ("--file", "--prefix"))
        python = pathlib.Path(place, "bin", "python")
        python.parent.mkdir(parents=True)
        python.write_text(
            '#!/bin/sh\\necho "$CONDA_PREFIX $*" >> {log}\\nexec {python} "$@"\\n'
        )
        python.chmod(0o755)
    case ["clean", *_]:
        pass
    case other:
        sys.exit(f"conda: not expected: {{other}}")
"""
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'
APPTAINER = """#!/bin/bash
if [ "$1" = --version ]; then echo apptainer version 1.3.0; exit; fi
for word; do [[ $word == *.sif ]] && image=$word; done
echo "$image ${{@: -1}}" >> {log}
exec bash -c "${{@: -1}}"
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The workflow with conda and apptainer first on PATH; `study.log` is what jobs ran in."""
    tools = tmp_path / "tools" / "bin"
    tools.mkdir(parents=True)
    log = tmp_path / "log"
    names = {"python": sys.executable, "prefix": str(tools.parent), "log": log}
    for name, text in {"conda": CONDA, "apptainer": APPTAINER}.items():
        (tools / name).write_text(text.format(**names))
        (tools / name).chmod(0o755)
    (tools / "activate").write_text(ACTIVATE)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.delenv("WSSS_ENV", raising=False)
    folder = tmp_path / "workflow"
    folder.mkdir()
    workflow = copied(folder)
    workflow.log = log
    return workflow


def ran_in(workflow):
    """{stage and action: conda file} of the jobs that ran."""
    found = {}
    for line in workflow.log.read_text().splitlines():
        place, words = re.fullmatch(r"(\S+) -m wsss --log \S+ (\S+ \S+) .*", line).groups()
        given = Path(f"{place}.yaml").read_bytes()
        (found[words],) = (file.name for file in ENVS.glob("*.yaml") if file.read_bytes() == given)
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_jobs_run_in_the_environments_that_conda_makes(study):
    done = study.snakemake(
        "--sdm", "conda", "--cores", "2", "results/toy/seed0/one/model.safetensors"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran_in(study) == {
        "data images": "wsss-cpu.yaml",
        "classifier train": "wsss-cuda.yaml",
    }


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
@pytest.mark.parametrize("chosen, made", [("cuda", ["cpu", "cuda"]), ("cpu", ["cpu"])])
def test_the_environments_of_a_whole_study(study, monkeypatch, chosen, made):
    monkeypatch.setenv("WSSS_ENV", chosen)
    done = study.snakemake("--sdm", "conda", "--conda-create-envs-only", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    files = [file.read_bytes() for file in study.folder.glob(".snakemake/conda/*.yaml")]
    assert sorted(files) == sorted((ENVS / f"wsss-{name}.yaml").read_bytes() for name in made)


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_jobs_run_in_the_container(study):
    done = study.snakemake("--sdm", "apptainer", "--cores", "1", "results/toy/data/val.h5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "envs/wsss.sif" in study.log.read_text()
    assert "python -m wsss --log results/toy/data/log/val.log data images" in study.log.read_text()


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_another_environment_is_refused_in_one_line(study, monkeypatch):
    monkeypatch.setenv("WSSS_ENV", "gpu")
    done = study.plan("--dry-run", "all")
    assert done.returncode == 1
    assert "config error: WSSS_ENV is 'gpu'; set it to cuda or cpu" in done.stderr
    assert "Traceback" not in done.stderr
