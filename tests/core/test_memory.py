import subprocess
import sys

import pytest

# Blocks of 4 to 20 MiB, all freed after each step, as a network's training does.
PROBE = """
import resource, sys
import torch
from wsss.core.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for step in range(4):
    if step == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.empty((i % 5 + 1) << 20).fill_(1) for i in range(40)]
    while blocks:
        blocks.pop()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_later_steps_use_the_memory_of_the_first():
    faults = {}
    for mode in ("default", "keep"):
        command = [sys.executable, "-c", PROBE, mode]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        faults[mode] = int(done.stdout)
    assert faults["keep"] < faults["default"] / 4
