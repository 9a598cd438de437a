"""MXNet's .params files: a reader without MXNet, and WideResNet38-d's names in them."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from wsss.core.errors import UserError

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")  # by MXNet's type flag
_MAX_DIMENSIONS = 32

_LAYER = re.compile(r"(res|bn)([2-7])(?:a|b([1-9]))_(branch[0-9a-z]+)_(\w+)")
_VALUES = {
    "weight": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


class _Damaged(Exception):
    pass


def read_params(path: Path) -> dict[str, Tensor]:
    """The arrays of an MXNet NDArray list file by their names ("arg:conv1a_weight", …).

    Layout, little-endian: u64 0x112, u64 reserved; u64 count and the arrays; u64 count and the
    names, each u64 length and bytes. An array: u32 magic (version 1, 2 or 3; before there were
    versions, the number of dimensions), i32 storage type (versions 2 and 3), u32 number of
    dimensions, the sides (i64; u32 before versions), i32 device type, i32 device, i32 element
    type, the elements.
    Raises UserError for a file that is foreign, cut short, or holds sparse or unknown arrays.
    """
    with path.open("rb") as file:
        reader = _Reader(file, path.stat().st_size)
        try:
            if reader.remaining() < 16 or reader.number("Q") != _LIST:
                raise UserError(f"{path}: no MXNet .params file; give one, or a .safetensors")
            reader.number("Q")
            arrays = [reader.array() for _ in range(reader.count())]
            names = [reader.name() for _ in range(reader.count())]
            if len(names) != len(arrays):
                raise _Damaged(f"{len(arrays)} arrays but {len(names)} names")
            if reader.remaining():
                raise _Damaged(f"{reader.remaining()} bytes after the last name")
        except _Damaged as problem:
            raise UserError(f"{path}: damaged .params file ({problem}); fetch it again") from None
    return dict(zip(names, arrays, strict=True))


class _Reader:
    def __init__(self, file: BinaryIO, size: int):
        self.file = file
        self.size = size

    def remaining(self) -> int:
        return self.size - self.file.tell()

    def bytes(self, count: int) -> bytes:
        if count > self.remaining():
            raise _Damaged(f"cut short: {self.size} bytes")
        return self.file.read(count)

    def number(self, kind: str) -> int:
        return struct.unpack("<" + kind, self.bytes(struct.calcsize(kind)))[0]

    def count(self) -> int:
        count = self.number("Q")
        if count > self.remaining() // 8:
            raise _Damaged(f"cut short: {self.size} bytes")
        return count

    def name(self) -> str:
        return self.bytes(self.number("Q")).decode("utf-8", "replace")

    def array(self) -> Tensor:
        magic = self.number("I")
        if magic in (_V2, _V3) and (storage := self.number("i")) != 0:
            raise _Damaged(f"storage type {storage}: only dense arrays are read")
        versioned = magic in (_V1, _V2, _V3)
        dimensions = self.number("I") if versioned else magic
        # 0 is MXNet's array without content, but a single number in version 3.
        if not (magic == _V3 or dimensions) or dimensions > _MAX_DIMENSIONS:
            raise _Damaged(f"an array of {dimensions} dimensions")
        shape = tuple(self.number("q" if versioned else "I") for _ in range(dimensions))
        self.bytes(8)  # the device it was on
        flag = self.number("i")
        if not 0 <= flag < len(_DTYPES):
            raise _Damaged(f"element type {flag} is unknown")
        dtype = np.dtype(_DTYPES[flag])
        if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > self.remaining():
            raise _Damaged(f"cut short in an array of {'×'.join(map(str, shape))}")
        values = np.fromfile(self.file, dtype, math.prod(shape))
        return torch.from_numpy(values.reshape(shape))


def wide_resnet38_names(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """The arrays under the names of `WideResNet38`'s state; names unknown to it stay.

    MXNet's name of a layer is res or bn, the block (2a, 2b1, …, 7a), the branch, and the value:
    `aux:bn4b1_branch2a_moving_mean` is `b4_1.bn_branch2a.running_mean`.
    """
    return {_torch_name(re.sub("^(arg|aux):", "", name)): v for name, v in arrays.items()}


def _torch_name(name: str) -> str:
    if name == "conv1a_weight":
        return "conv1a.weight"
    if name.startswith("bn7_") and name[4:] in _VALUES:
        return f"bn7.{_VALUES[name[4:]]}"
    layer = _LAYER.fullmatch(name)
    if layer is None or layer[5] not in _VALUES:
        return name
    kind, level, i, branch, value = layer.groups()
    block = f"b{level}_{i}" if i else f"b{level}"
    return f"{block}.{'conv' if kind == 'res' else 'bn'}_{branch}.{_VALUES[value]}"
