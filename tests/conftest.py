"""One thread a test process: two share two cores, and OpenMP threads wait for each other."""

import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_finish(session):
    """Tests that share a Slurm or a finished study must share a worker."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        group = item.get_closest_marker("xdist_group")
        if group and not item.nodeid.endswith(f"@{group.args[0]}"):
            raise pytest.UsageError(
                "pytest-xdist does not know the groups of tests; install the versions of "
                "constraints.txt (make setup)"
            )
