"""How the C library's allocator treats what networks free."""

from __future__ import annotations

import ctypes
import sys

# glibc's numbers of <malloc.h>. A block above the threshold is mapped for itself alone, and 32 MiB
# is as high as the threshold goes; what is trimmed goes back to the system.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Let this process keep what it frees, instead of giving it back and asking for it again.

    Every step of a training allocates the same tensors. By default glibc returns them to the
    system after each step, and the kernel clears their pages again for the next one. That took a
    third of the time of a MobileNetV2's step on a CPU (benchmarks/backbone.py). The peak is the
    same. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_THRESHOLD, 32 << 20)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 << 20)
