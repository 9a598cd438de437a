import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wsss.core.errors import Stopped, UserError
from wsss.core.log import log, run, start_logging


@pytest.fixture(autouse=True)
def own_logging():
    kept = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = kept


def raising(error):
    def app():
        raise error

    return app


def ends_with(error, capsys) -> tuple[int, list[str]]:
    start_logging(None)
    with pytest.raises(SystemExit) as caught:
        run(raising(error))
    lines = capsys.readouterr().err.splitlines()
    return caught.value.code, [line.split(" ", 1)[1] for line in lines if line[2:3] == ":"]


@pytest.mark.parametrize(("message", "lines"), [("stopped", ["error: stopped"]), ("", [])])
def test_what_is_stopped_ends_with_its_own_status(message, lines, capsys):
    assert ends_with(Stopped(143, message), capsys) == (143, lines)


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UserError("a: bad; mend it"), ["error: a: bad; mend it"]),
        (UserError("a: bad\nb: bad"), ["error: a: bad", "error: b: bad"]),
        (
            UserError(
                "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most "
                "recent call last):\n  line\nwsss.core.errors.UserError: a: bad; mend it\n"
            ),
            ["error: a: bad; mend it"],
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/r/a.h5"),
            ["error: /r/a.h5: No space left on device; free space on its disk"],
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            ["error: No space left on device; free space on its disk"],
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/r"),
            ["error: /r: Permission denied; give access to it, or choose another folder"],
        ),
        (
            RuntimeError("Driver write failed (filename = '/r/a.h5', errno = 28, error message"),
            ["error: /r/a.h5: No space left on device; free space on its disk"],
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x.txt"),
            ["error: x.txt: No such file or directory; check the path, then run again"],
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has"),
            ["error: CUDA out of memory; take a GPU with more memory, or one that is free"],
        ),
        (
            MemoryError(),
            [
                "error: out of memory; lower the batch size in the recipe "
                "or give the job more memory"
            ],
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_1(error, lines, capsys):
    assert ends_with(error, capsys) == (1, lines)


@pytest.mark.parametrize("error", [RuntimeError("shape"), KeyError("x"), OSError("odd")])
def test_a_bug_has_a_traceback_and_status_70(error, capsys):
    start_logging(None)
    with pytest.raises(SystemExit) as caught:
        run(raising(error))
    assert caught.value.code == 70
    text = capsys.readouterr().err
    assert "this is a bug in wsss" in text and "Traceback" in text


def test_the_log_file_has_the_lines(tmp_path):
    start_logging(tmp_path / "log" / "a.log")
    log.info("hello")
    log.handlers[1].flush()
    assert (tmp_path / "log" / "a.log").read_text().endswith(" hello\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_on_a_full_disk_costs_only_its_lines():
    script = """
from pathlib import Path
from wsss.core.log import log, run, start_logging
from wsss.core.errors import UserError

def app():
    start_logging(Path("/dev/full"))
    log.info("hello")
    raise UserError("a: cannot be written; free space")

run(app)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    lines = [line.split(" ", 1)[1] for line in done.stderr.splitlines()]
    assert (done.returncode, lines) == (1, ["hello", "error: a: cannot be written; free space"])


def test_an_unwritable_log_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        run(lambda: start_logging(tmp_path / "file" / "a.log"))
    assert caught.value.code == 1
    with pytest.raises(UserError, match=r"a\.log: cannot be written \(.*; a file stands where"):
        start_logging(tmp_path / "file" / "a.log")
