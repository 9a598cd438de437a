"""Seeds that do not depend on the number of workers, on resumption, or on Python's hash."""

from __future__ import annotations

import hashlib

import numpy as np


def mix(*parts: int | str) -> int:
    """A 63-bit seed from integers and words, e.g. mix(seed, "augment", epoch, index)."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded by `mix`."""
    return np.random.default_rng(mix(*parts))
