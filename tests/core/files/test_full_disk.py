"""What a disk without space, or a folder without permission, comes to."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsss.core.errors import UserError
from wsss.core.files.atomic import HOST, write_text
from wsss.core.files.store import Header, MapWriter, MaskReader, MaskWriter

ROOT = Path(__file__).parents[3]


@pytest.fixture
def full(tmp_path):
    """A folder on a disk of 20 kB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", folder]
    try:
        done = subprocess.run(mount, capture_output=True, timeout=10)
    except OSError as error:
        pytest.skip(f"no small disk can be mounted: {error}")
    if done.returncode:
        pytest.skip("no small disk can be mounted: mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=10)


MAPS = """
import sys
import numpy as np
from wsss.core.log import run, start_logging
from wsss.core.files.store import Header, MapWriter

def write():
    rng = np.random.default_rng(0)
    with MapWriter(sys.argv[1], Header("maps", "train", ("cat",))) as writer:
        for i in range(int(sys.argv[2])):
            maps = rng.random((1, 300, 300)).astype(np.float32)
            writer.add(str(i), (300, 300), np.array([1]), maps)

start_logging(None)
run(write)
"""

MODEL = """
import sys
import torch
from wsss.core.log import run, start_logging
from wsss.core.files.model_file import save_model

start_logging(None)
run(lambda: save_model(sys.argv[1], torch.nn.Linear(200, 200), {"kind": "x"}))
"""

TEXT = """
import sys
from wsss.core.files.atomic import write_text
from wsss.core.log import run, start_logging

start_logging(None)
run(lambda: write_text(sys.argv[1], "x" * 50000))
"""


@pytest.mark.parametrize(
    ("script", "records"), [(MAPS, 1), (MAPS, 40), (MAPS, 400), (MODEL, 0), (TEXT, 0)]
)
def test_a_full_disk_is_one_line_and_leaves_nothing(full, script, records):
    out = full / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, str(out), str(records)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    reason = f"error: {out}: cannot be written (No space left on device); free space on its disk"
    assert done.returncode == 1
    assert [line.split(" ", 1)[1] for line in done.stderr.splitlines()] == [reason]
    assert list(full.iterdir()) == []


def test_a_read_only_disk(full):
    subprocess.run(["mount", "-o", "remount,ro", full], check=True, timeout=10)
    says = r"cannot be written \(Read-only file system\); choose a folder that can be written$"
    with pytest.raises(UserError, match=says):
        write_text(full / "a.txt", "x")
    with pytest.raises(UserError, match=says):
        MapWriter(full / "m.h5", Header("maps", "train", ("cat",))).__enter__()


def test_a_file_where_a_folder_is_needed(tmp_path):
    (tmp_path / "results").write_text("")
    out = tmp_path / "results" / "m.h5"
    for write in (
        lambda: write_text(out, "x"),
        lambda: MapWriter(out, Header("maps", "train", ("cat",))).__enter__(),
    ):
        with pytest.raises(UserError, match=r"m\.h5: cannot be written \(.*a file stands where"):
            write()


def test_a_folder_without_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)"):
        write_text(tmp_path / "a.txt", "x")


def dead_process() -> int:
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def test_temporaries_of_killed_writers_go_and_others_stay(tmp_path):
    dead = dead_process()
    kept = [
        f".m.h5.{HOST}-{os.getppid()}.tmp",
        f".other.h5.{HOST}-{dead}.tmp",
        f".m.h5.{HOST}-x.tmp",
        f".m.h5.node-1.example-{dead}.tmp",
    ]
    gone = [f".m.h5.{HOST}-{dead}.tmp", f".m.h5.node-2.example-{os.getppid()}.tmp"]
    for name in kept + gone:
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / gone[1], (0, time.time() - 2 * 86400))
    with MaskWriter(tmp_path / "m.h5", Header("masks", "train", ("cat",))):
        pass
    assert len(MaskReader(tmp_path / "m.h5")) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "m.h5"])
