"""Inputs from the future, which a clock that jumped leaves.

Snakemake would run a job on them to its end, find its output older than its input, and delete it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SKEW = 5  # seconds by which clocks of one cluster may differ


def inputs_from_the_future(jobs: Iterable[Any]) -> list[str]:
    """Files that these jobs read and none of them makes, dated later than now.

    jobs: anything with lists of paths `input` and `output`, as Snakemake's jobs.
    """
    jobs = list(jobs)
    outputs = {str(file) for job in jobs for file in job.output}
    inputs = {str(file) for job in jobs for file in job.input} - outputs
    limit = time.time() + SKEW
    return sorted(f for f in inputs if Path(f).exists() and Path(f).stat().st_mtime > limit)
