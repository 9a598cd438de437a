import os
import subprocess
import sys
import time

import pytest

from wsss.core import gpu

# Loading torch takes seconds, and here it would only say that it can use no GPU.
CLAIM = """
import os, sys, types
no_gpu = types.SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
backends = types.SimpleNamespace(mps=no_gpu)
sys.modules["torch"] = types.SimpleNamespace(cuda=no_gpu, backends=backends)
from wsss.core.gpu import claim_gpus
wanted = int(os.environ.get("WANTED", 1))
claim_gpus(wanted); claim_gpus(wanted)
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""

WITHOUT = """
from wsss.core.log import run, start_logging
from wsss.core.gpu import claim_gpu

start_logging(None)
run(lambda: (claim_gpu(), claim_gpu()))
"""


@pytest.fixture
def claim(tmp_path):
    """Start a process that claims a GPU and holds it until its input ends."""
    started = []

    def start(visible="3,5", **more):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)} | more
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", CLAIM], env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_have_gpus_of_their_own_and_wait_for_one(claim):
    first, second = claim(), claim()
    assert {first.stdout.readline(), second.stdout.readline()} == {"3\n", "5\n"}
    third = claim()
    time.sleep(1.5)
    os.set_blocking(third.stdout.fileno(), False)
    assert third.stdout.readline() == ""
    first.kill()  # even so its GPU is free again
    first.wait()
    os.set_blocking(third.stdout.fileno(), True)
    assert third.stdout.readline() in ("3\n", "5\n")


def test_a_choice_that_was_made_stays(claim):
    assert claim("7").stdout.readline() == "7\n"
    assert claim("7").stdout.readline() == "7\n"
    assert claim("").stdout.readline() == "\n"


def test_several_are_claimed_at_once_or_none(claim):
    first = claim("3,5,7")
    held = first.stdout.readline().strip()
    pair = claim("3,5,7", WANTED="2")
    assert set(pair.stdout.readline().strip().split(",")) == {"3", "5", "7"} - {held}
    waits = claim("3,5,7", WANTED="2")
    first.kill()
    first.wait()
    time.sleep(1.5)
    os.set_blocking(waits.stdout.fileno(), False)
    assert waits.stdout.readline() == ""
    os.set_blocking(waits.stdout.fileno(), True)
    assert claim("3,5,7").stdout.readline().strip() == held  # it keeps none while it waits
    pair.kill()
    pair.wait()
    assert len(waits.stdout.readline().split(",")) == 2


def test_slurms_choice_stays_also_of_several(claim):
    """GPUs of two jobs on one node can have the same numbers, each job its own."""
    for _ in range(2):
        assert claim("0,1", WANTED="2", SLURM_JOB_ID="7").stdout.readline() == "0,1\n"
    assert claim("0,1", WANTED="4", SLURM_JOB_ID="7").stdout.readline() == "0,1\n"
    for job in ("7", "8"):
        assert claim("0,1", WANTED="1", SLURM_JOB_ID=job).stdout.readline() == "0\n"
    assert claim("0,1", WANTED="1", SLURM_JOB_ID="8").stdout.readline() == "1\n"


def test_a_lock_of_another_user_serves_as_well(monkeypatch, tmp_path):
    """Linux refuses to open one with O_CREAT in /tmp (fs.protected_regular)."""
    plain = os.open

    def protected(path, flags, *mode):
        if flags & os.O_CREAT and not flags & os.O_EXCL and path.exists():
            raise PermissionError(13, "Permission denied", path)
        return plain(path, flags, *mode)

    monkeypatch.setattr(gpu.os, "open", protected)
    monkeypatch.setattr(gpu.tempfile, "gettempdir", lambda: str(tmp_path))
    before = os.umask(0o077)
    try:
        first = gpu._lock("3")
    finally:
        os.umask(before)
    assert gpu._lock("3") is None
    os.close(first)
    second = gpu._lock("3")
    assert second is not None
    os.close(second)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644


def test_what_is_visible(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "DRIVER", tmp_path / "none")
    assert gpu.visible_gpus() == []
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(gpu, "DRIVER", tmp_path / "gpus")
    assert gpu.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu.visible_gpus() == ["1"]


@pytest.mark.parametrize(
    ("visible", "wanted", "status", "says"),
    [
        ("", "auto", 0, ""),
        ("5", "auto", 0, "torch cannot use GPU 5: computing on the CPU (WSSS_GPU=required makes"),
        ("5", "required", 1, "error: torch cannot use GPU 5, and WSSS_GPU=required; see what"),
        ("", "required", 1, "error: no GPU is visible, and WSSS_GPU=required; see what nvidia-smi"),
        ("5", "yes", 1, "error: WSSS_GPU is 'yes'; set it to auto or required"),
    ],
)
def test_a_job_without_a_gpu_goes_on_or_stops_as_chosen(visible, wanted, status, says):
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine's GPU cannot be hidden")
    chosen = {"CUDA_VISIBLE_DEVICES": visible, "WSSS_GPU": wanted}
    if torch.cuda.device_count() > 5:
        pytest.skip("this machine has a GPU 5")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=os.environ | chosen,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    lines = [line.split(" ", 1)[1] for line in done.stderr.splitlines()]
    assert len(lines) == bool(says) and all(line.startswith(says) for line in lines)
