"""Random walk of 3 maps, 256 steps, one thread: ours, plain steps, and the papers' dense matrix.

Run: OMP_NUM_THREADS=1 python benchmarks/random_walk.py [repeats]. Prints a Markdown table: medians
of CPU seconds, memory on top of inputs and imports, and the largest difference to the dense matrix
in float64, relative to each value: of ours, and of the dense matrix in float32.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from wsss.affinity import walk
from wsss.affinity.paths import directions, path_slices
from wsss.core.maps import upsample
from wsss.core.random import generator

GRIDS = [(32, 42), (48, 63), (94, 125), (120, 160)]
DENSE = GRIDS[:2]  # beyond, 256 steps of it take minutes and gigabytes
RADIUS, BETA, DOUBLINGS = 5, 10.0, 8


def problem(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps, and a boundary with walls and noise, as a network gives."""
    random = generator(0, "walk", height, width)
    size = (height, width)
    maps = upsample(random.random((3, 7, 9)), size) ** 2
    walls = upsample(random.random((1, 12, 16)), size)[0]
    boundary = np.exp(-(((walls - 0.5) / 0.05) ** 2)) * 0.9 + 0.05 * random.random(size)
    return maps.astype(np.float32), boundary.astype(np.float32)


def ours(maps: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """The truncated Chebyshev series."""
    return walk.random_walk(maps, boundary, beta=BETA, radius=RADIUS)


def plain(maps: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """256 steps by shift and add: what no tolerance leaves."""
    walk.TOLERANCE = 0.0
    return ours(maps, boundary)


def exact(maps: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """`dense` in float64."""
    return dense(maps.astype(np.float64), boundary.astype(np.float64))


def dense(maps: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """The (h·w)² matrix, squared eight times."""
    h, w = boundary.shape
    grid = torch.from_numpy(boundary)[None]
    index = torch.arange(h * w).view(h, w)
    matrix = torch.eye(h * w, dtype=grid.dtype)
    for y, x in directions(RADIUS):
        left, size = max(0, -x), (h - y, w - abs(x))
        value = 1 - torch.stack(path_slices(grid, (y, x), (0, left), size)).amax(0)[0]
        one = index[: size[0], left : left + size[1]]
        matrix[one, one + y * w + x] = matrix[one + y * w + x, one] = value
    matrix = matrix**BETA
    matrix /= matrix.sum(0, keepdim=True)
    for _ in range(DOUBLINGS):
        matrix = matrix @ matrix
    start = torch.from_numpy(maps * (1 - boundary)).flatten(1)
    return (start @ matrix).reshape(maps.shape).numpy()


def measure(
    task: tuple[Callable[..., np.ndarray], tuple[int, int], int],
) -> tuple[float, float, np.ndarray]:
    """Median CPU seconds, peak memory in MB, and the result, in a process of its own."""
    method, grid, repeats = task
    torch.set_num_threads(1)
    method(*problem(6, 8))  # libraries take their memory once
    maps, boundary = problem(*grid)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(repeats):
        started = time.process_time()
        result = method(maps, boundary)
        times.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return median(times), peak / 1024, result


def main(repeats: int) -> None:
    """Print the table."""
    print("| grid | ours, s | MB | plain, s | dense, s | MB | dense / ours | off | dense off |")
    print("|---|---|---|---|---|---|---|---|---|")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for grid in GRIDS:
            tasks = [(ours, grid, repeats), (plain, grid, repeats)]
            if grid in DENSE:
                tasks += [(dense, grid, 1), (exact, grid, 1)]
            (seconds, memory, result), (slow, _, _), *rest = pool.map(measure, tasks, chunksize=1)
            row = [f"{grid[0]}×{grid[1]}", f"{seconds:.3f}", f"{memory:.1f}", f"{slow:.3f}"]
            if rest:
                (took, used, single), (_, _, reference) = rest
                row += [f"{took:.2f}", f"{used:.0f}", f"{took / seconds:.0f}"]
                row += [f"{(abs(x - reference) / reference).max():.0e}" for x in (result, single)]
            print("| " + " | ".join(row + ["–"] * (9 - len(row))) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
