"""Checks that evaluations of maps and of masks share."""

from __future__ import annotations

from pathlib import Path

from wsss.core.errors import UserError

LISTED = 20  # problems of one kind that an error spells out


def check_splits(a: Path, split_a: str, b: Path, split_b: str) -> None:
    """UserError unless both files say that they are of one split."""
    if split_a != split_b:
        raise UserError(
            f"{a} is of split {split_a}, {b} of split {split_b}; give files of one split"
        )


def listed(before: str, items: list[str], after: str = "") -> list[str]:
    """One line an item, and the number of those left out."""
    lines = [f"{before}{item}{after}" for item in items[:LISTED]]
    if len(items) > LISTED:
        lines.append(f"… and {len(items) - LISTED} more like this")
    return lines
