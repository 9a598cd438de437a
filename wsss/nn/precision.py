"""bfloat16 where the device computes in it, float32 elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Literal

import torch

from wsss.core.log import log

Precision = Literal["32", "bf16"]

# What torch calls the instructions of processors that multiply bfloat16.
_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx10_2", "bf16", "arm_bf16", "sve_bf16")


@cache
def has_bfloat16(device_type: str) -> bool:
    """Whether a kind of device ("cpu", "cuda", "mps") computes in bfloat16 itself.

    A CPU without such instructions emulates them, several times slower than float32
    (`benchmarks/precision.py`).
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in _INSTRUCTIONS)
    return True


@cache
def usable_precision(precision: Precision, device_type: str) -> Precision:
    """The precision of a recipe, or "32" where bfloat16 would be emulated, which is logged once."""
    if precision == "bf16" and not has_bfloat16(device_type):
        log.info("this %s has no bfloat16 instructions: computing in float32", device_type)
        return "32"
    return precision


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[None]:
    """Autocast to bfloat16, or nothing, as a recipe's `precision` and the device allow."""
    enabled = usable_precision(precision, device_type) == "bf16"
    return torch.autocast(device_type, torch.bfloat16, enabled=enabled)
