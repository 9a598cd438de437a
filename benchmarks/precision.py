"""Training steps of a convolution in float32 and in bfloat16, side by side on this processor.

    python benchmarks/precision.py [--threads 1] [--rounds 5]

Prints the median seconds of each, their ratio, and whether the processor has the instructions.
"""

import argparse
import statistics
import time

import wsss  # noqa: F401  # isort: skip
import torch

from wsss.core.memory import keep_freed_memory
from wsss.nn.precision import has_bfloat16


def seconds(convolution: torch.nn.Module, x: torch.Tensor, bfloat16: bool) -> float:
    """Of ten steps forward and backward."""
    started = time.perf_counter()
    for _ in range(10):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            y = convolution(x)
        y.float().sum().backward()
    return time.perf_counter() - started


def main() -> None:
    """Take turns, so that both see the machine in the same state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    convolution = torch.nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.rand(16, 64, 24, 24).to(memory_format=torch.channels_last)
    times: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(options.rounds + 1):
        for bfloat16 in times:
            taken = seconds(convolution, x, bfloat16)
            if turn:  # the first is a warm-up
                times[bfloat16].append(taken)
    single, half = statistics.median(times[False]), statistics.median(times[True])
    print(f"float32 {single:.3f} s, bfloat16 {half:.3f} s, ratio {half / single:.2f}")
    print(f"instructions for bfloat16: {has_bfloat16('cpu')}")


if __name__ == "__main__":
    main()
