"""One of N contiguous parts of a sequence, for stages that N jobs share out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from wsss.core.errors import UserError

T = TypeVar("T")


class Shard(NamedTuple):
    """Part `number` (from 1) of `of`. All parts, in order, are the whole, whatever `of` is."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "2/7"; UserError for anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise UserError(f"--shard {text}: no part of a whole; give 1/N to N/N, such as 2/7")
        return shard

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Its items; parts differ by one item at most, and may be empty."""
        return items[
            len(items) * (self.number - 1) // self.of : len(items) * self.number // self.of
        ]
