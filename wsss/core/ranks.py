"""One command in several processes, a GPU each: started, watched and ended together.

The command that the user (or Snakemake) started computes nothing itself then: it starts itself
once per GPU and waits. Whatever happens to one of these processes ends them all, and with the
watching one they end too.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from wsss.core.errors import Stopped

_NOWHERE = Path(os.devnull)
REMEDY = "the next start resumes from the last whole epoch"
RESTART = 75  # status of a process that raised wsss.core.errors.Restart


def ranks() -> int:
    """How many processes this one trains with, itself included."""
    return int(os.environ.get("WSSS_RANKS", "1"))


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("WSSS_RANK", "0"))


def run_ranks(number: int) -> None:
    """Run this very command, as it was typed, in `number` processes until all have ended well.

    Stopped with the status of the first that does not, after the others were killed; 128 + n if
    signal n killed it, and 143 if this process gets SIGTERM.
    """
    while failed := _run_once(number):
        which, status = failed
        if status < 0:
            name = signal.Signals(-status).name
            raise Stopped(
                128 - status,
                f"process {which + 1} of {number} was ended by {name}; {REMEDY}",
            )
        if status != RESTART:
            raise Stopped(status)  # it has said why


def _run_once(number: int) -> tuple[int, int] | None:
    """The first process that failed and its status; None where all ended well."""
    from torch.distributed import TCPStore

    # Where the processes find each other: on a port that nobody else can take in between.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "WSSS_RANKS": str(number),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # so torch calls a store that is already there
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # else it says that a network uses all its parameters
    }
    command = [sys.executable, *sys.orig_argv[1:]]
    started: list[subprocess.Popen] = []
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        for each in range(number):
            own = {"WSSS_RANK": str(each), "LOCAL_RANK": str(each)}
            # A session of their own: a Ctrl-C reaches the watching process alone.
            options = {"stdin": subprocess.PIPE, "start_new_session": True}
            started.append(subprocess.Popen(command, env=os.environ | shared | own, **options))
        while True:
            statuses = [process.poll() for process in started]
            failed = [(i, status) for i, status in enumerate(statuses) if status]
            if failed:
                return failed[0]
            if all(status == 0 for status in statuses):
                return None
            time.sleep(0.1)
    finally:
        for process in started:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # their loaders' workers too
            process.wait()
        signal.signal(signal.SIGTERM, before)


def _stop(*_: object) -> NoReturn:
    raise Stopped(143, f"stopped by SIGTERM; {REMEDY}")


def join() -> None:
    """To be called by each of several processes: from now on it ends with the watching one."""
    threading.Thread(target=_end_with_the_watching_one, daemon=True).start()


def _end_with_the_watching_one() -> None:
    os.read(0, 1)  # nobody writes: it returns when the other end of the pipe is gone
    os._exit(1)


def wait_for_the_culprit(seconds: float) -> None:
    """Called by one of several processes that fails: the error of another may be the cause.

    That one ends at once, and this one is killed while it waits. And if it does end itself, it
    must not hang on what the others are to answer.
    """
    time.sleep(seconds)
    faulthandler.dump_traceback_later(20, exit=True, file=_NOWHERE.open("w"))
