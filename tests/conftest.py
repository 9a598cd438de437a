"""One thread a test process: two share two cores, and OpenMP threads wait for each other."""

import importlib
import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
# What a module loads first while jaxtyping's hook loads that module is compiled again, not read
# from the installed cache (findings/jaxtyping-hook-recompiles-other-packages.sh).
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("h5py", "lightning", "pandas", "segmentation_models_pytorch", "torchmetrics"):
        importlib.import_module(name)


def pytest_configure(config):
    """Tests that share a Slurm or a finished study must share a worker."""
    grouped = getattr(config.option, "dist", "no") == "loadgroup"
    if grouped and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError(
            f"pytest {pytest.__version__} hides the groups of tests from pytest-xdist; install the "
            "versions of constraints.txt (make setup)"
        )


@pytest.fixture
def emulated_bfloat16(monkeypatch):
    """bfloat16 is used also on a processor that only emulates it."""
    from wsss.nn.precision import has_bfloat16, usable_precision

    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    has_bfloat16.cache_clear()
    usable_precision.cache_clear()
    yield
    has_bfloat16.cache_clear()
    usable_precision.cache_clear()
