"""Inputs dated in the future, found without Snakemake."""

import os
import time
from types import SimpleNamespace

from wsss.workflow.clock import SKEW, inputs_from_the_future


def test_only_inputs_that_no_job_makes_and_that_are_late_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    late = {"late": 100, "near": SKEW / 2, "old": -100, "made": 100}
    for name, seconds in late.items():
        (tmp_path / name).touch()
        os.utime(name, (time.time() + seconds,) * 2)
    first = SimpleNamespace(input=["late", "near", "old", "absent"], output=["made"])
    second = SimpleNamespace(input=["made", "late"], output=["last"])
    assert inputs_from_the_future([first, second]) == ["late"]
    assert inputs_from_the_future(iter([second])) == ["late", "made"]
