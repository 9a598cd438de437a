"""The tests' planner says what Snakemake in a process of its own says."""

import contextlib
import re

from .conftest import Planner, copied


def said(done):
    """The commands and the numbers of jobs. Their order depends on Python's hashes."""
    text = done.stdout + done.stderr
    return set(re.findall(r"^(?:Shell command: .*|\w+ +\d+)$", text, re.M))


def test_a_plan_is_that_of_a_process(tmp_path):
    workflow = copied(tmp_path)
    options = ("--dry-run", "--printshellcmds", "all")
    forked, process = workflow.plan(*options), workflow.snakemake(*options)
    assert forked.returncode == process.returncode == 0
    assert said(forked) == said(process) and len(said(forked)) > 50
    with contextlib.closing(Planner(code=tmp_path)) as loaded:
        assert said(workflow.plan(*options, by=loaded)) == said(process)


def test_a_mistake_ends_it_with_the_same_line(tmp_path):
    workflow = copied(tmp_path)
    workflow.write(workflow.data | {"cam": {"single": {"scale": [1.0]}}})
    forked, process = workflow.plan("--dry-run"), workflow.snakemake("--dry-run")
    assert forked.returncode == process.returncode == 1
    assert forked.stderr.splitlines()[-1] == process.stderr.splitlines()[-1]


def test_each_plan_reads_the_code_of_its_folder_again(tmp_path):
    workflow = copied(tmp_path)
    assert workflow.plan("--dry-run").returncode == 0
    (tmp_path / "wsss" / "workflow" / "targets.py").write_text("raise ValueError('edited')\n")
    edited = workflow.plan("--dry-run")
    assert edited.returncode == 1 and "edited" in edited.stdout + edited.stderr
