import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from wsss.core.errors import UserError
from wsss.core.parallel import imap


@pytest.fixture(autouse=True)
def workers_can_import_this_file(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def slow_square(x):
    time.sleep(0.02 if x % 3 else 0.06)
    return x * x


def process_of(_):
    return os.getpid(), os.environ["OMP_NUM_THREADS"], multiprocessing.get_start_method(True)


def fail_at(bad, x):
    if x == bad:
        raise UserError(f"map {x} is damaged")
    return x


def die(x):
    os._exit(9)


def wait_long(x):
    time.sleep(60 * x)
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_order(workers):
    assert list(imap(slow_square, range(9), workers)) == [x * x for x in range(9)]


def test_other_processes_of_one_thread_and_a_clean_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen = list(imap(process_of, range(4), 2))
    assert os.getpid() not in {pid for pid, _, _ in seen}
    assert {threads for _, threads, _ in seen} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert not multiprocessing.active_children()


def test_one_worker_is_this_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert next(imap(process_of, [0], 1))[0] == os.getpid()


def test_few_items_are_in_flight():
    taken = []
    results = imap(slow_square, (taken.append(x) or x for x in range(100)), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) == 8  # the five, and three more of the four allowed to fly
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_back_as_they_are(workers):
    results = imap(partial(fail_at, 3), range(50), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match=r"^map 3 is damaged$"):
        next(results)


def test_a_killed_worker_is_one_line():
    with pytest.raises(UserError, match="one of 2 worker processes died"):
        list(imap(die, range(4), 2))


def test_no_workers():
    with pytest.raises(UserError, match="0 workers"):
        list(imap(die, [1], 0))


def test_closing_kills_the_workers():
    results = imap(wait_long, [0, 1, 1], 2)
    # Two workers want 2 * 2 tasks in flight before the first result; three are all there is.
    pid = next(results)
    results.close()
    assert gone(pid)


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for child in multiprocessing.active_children():
            child.join(0)
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


SCRIPT = """
import os, signal, sys, time
from contextlib import closing
from wsss.core.parallel import imap

def work(x):
    if x:
        time.sleep(60)
    return os.getpid()

if __name__ == "__main__":
    # A shell starts what runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with closing(imap(work, [0, 1, 1, 1], 2)) as results:
        for pid in results:
            print(pid, flush=True)
"""


@pytest.mark.parametrize("kill_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, kill_by):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as parent:
        pid = int(parent.stdout.readline())
        started = time.monotonic()
        parent.send_signal(kill_by)
        parent.wait(timeout=20)
        assert time.monotonic() - started < 15
    assert gone(pid)
