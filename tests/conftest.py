"""One thread a test process: two share two cores, and OpenMP threads wait for each other."""

import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"


def pytest_configure(config):
    """Tests that share a Slurm or a finished study must share a worker."""
    grouped = getattr(config.option, "dist", "no") == "loadgroup"
    if grouped and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError(
            f"pytest {pytest.__version__} hides the groups of tests from pytest-xdist; install the "
            "versions of constraints.txt (make setup)"
        )
