"""Reads published cls_labels.npy files without trusting them.

Such a file is a pickled dict, image id → multi-hot vector. Pickle can run any code, so the reader
never builds a NumPy object: the few names such a file needs are bound to inert records of this
module, every other name is refused, and vectors are made from the raw bytes at the end.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wsss.core.errors import UserError
from wsss.data.problems import Findings


class _Dtype:
    """Stands for numpy.dtype: remembers what it was made from."""

    def __init__(self, name: Any = "", *_: Any):
        self.name = name
        self.order = "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def numeric(self) -> np.dtype:
        """The NumPy type, if it is a plain bool, integer or float."""
        if self.name not in {
            *("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"),
            "f2",
            "f4",
            "f8",
        }:
            raise pickle.UnpicklingError(f"values of type {self.name!r}")
        return np.dtype(self.name).newbyteorder(self.order if self.order in "<>" else "=")


class _Array:
    """Stands for numpy.ndarray: remembers its pickled state."""

    def __init__(self, *_: Any):
        self.state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        """The array, from its raw bytes; ValueError if they do not fit its shape."""
        _, shape, dtype, _, data = self.state
        return np.frombuffer(data, dtype.numeric()).reshape(shape)

    def item(self) -> Any:
        """The one object in a zero-dimensional object array."""
        _, shape, dtype, _, data = self.state
        if shape != () or dtype.name != "O8" or len(data) != 1:
            raise pickle.UnpicklingError("an array, not one dict")
        return data[0]


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype.numeric()).item()


def _encode(text: str, codec: str) -> bytes:
    # Pickles of protocol 2 spell bytes as latin-1 text.
    if codec != "latin1":
        raise pickle.UnpicklingError(f"codec {codec!r}")
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype}
_ALLOWED[("_codecs", "encode")] = _encode
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[(_core, "_reconstruct")] = _Array
    _ALLOWED[(_core, "scalar")] = _scalar


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return _ALLOWED[(module, name)]


def read_npy_labels(
    path: Path, known: tuple[str, ...], findings: Findings
) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """(image id, class names) pairs of a cls_labels.npy: entry k of a vector is class known[k].

    Integer keys are ids as IRN writes them: 2007000032 is "2007_000032"; shorter ones stay digits.
    A vector of another length than `known` is reported to `findings`, with None for its names.
    Raises UserError for anything but a dict of numeric vectors.
    """
    try:
        loaded = _load(path)
        pairs = [(_key(key), vector.values()) for key, vector in loaded.items()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct the recipe") from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: holds {error}, refused; a labels file is a dict of id to 0/1 vector, else "
            "write the labels as CSV"
        ) from None
    except (ValueError, TypeError, AttributeError, EOFError, IndexError, KeyError) as error:
        raise UserError(f"{path}: no dict of label vectors, or damaged ({error})") from None
    for key, vector in pairs:
        if vector.shape != (len(known),):
            message = f"the vector of '{key}' has shape {vector.shape}, expected ({len(known)},)"
            message = f"{path}: {message}, one entry per class"
            findings.add("unreadable labels", "labels", message)
            yield key, None
        else:
            yield key, tuple(known[k] for k in np.flatnonzero(vector > 0.5))


def _load(path: Path) -> dict:
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) == (1, 0):
            _, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            _, _, dtype = np.lib.format.read_array_header_2_0(file)
        if not dtype.hasobject:
            raise pickle.UnpicklingError(f"an array of {dtype}, not a dict")
        array = _Unpickler(io.BytesIO(file.read()), encoding="latin1").load()
    loaded = array.item()
    if not isinstance(loaded, dict):
        raise pickle.UnpicklingError(f"a {type(loaded).__name__}, not a dict")
    return loaded


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int):
        digits = str(key)
        return f"{digits[:4]}_{digits[4:]}" if len(digits) == 10 else digits
    raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")
