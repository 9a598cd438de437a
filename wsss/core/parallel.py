"""A map over processes: ordered, a bounded number of tasks in flight, one thread per worker."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from wsss.core.errors import UserError

A = TypeVar("A")
B = TypeVar("B")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_function: Callable[[Any], Any]  # of this worker process


def imap(function: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """`function(item)` for each item, in order, computed by `workers` processes.

    One worker runs in this process. More are spawned (never forked: CUDA and HDF5 do not survive
    it), with one thread each, so that their number is the number of cores in use. `function` is
    pickled once per worker and may therefore carry readers (they open their files again there); an
    item travels with each task: keep it small, e.g. a position. At most two tasks per worker are in
    flight, so memory does not grow with the number of items.

    An exception in a worker is raised here as it is. Ctrl-C, any exception and closing the iterator
    kill the workers at once; they also end when this process is killed. UserError where a worker
    was killed from outside, which is mostly the system running out of memory.
    """
    if workers < 1:
        raise UserError(f"{workers} workers; give at least 1")
    if workers == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (function,))
    mine: set[multiprocessing.process.BaseProcess] = set()
    flying: deque[Future] = deque()
    finished = False
    try:
        for item in items:
            before = set(multiprocessing.active_children())
            with _one_thread():  # a worker starts in submit() and takes the environment along
                flying.append(pool.submit(_call, item))
            mine |= set(multiprocessing.active_children()) - before
            if len(flying) >= 2 * workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
        finished = True
    except BrokenProcessPool:
        raise UserError(
            f"one of {workers} worker processes died; if no error of its own stands above, it was "
            "out of memory: use fewer workers or give the job more memory"
        ) from None
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:
            for process in mine:
                process.kill()


def _start_worker(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    # Ctrl-C reaches the whole process group: the parent handles it, and kills us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
