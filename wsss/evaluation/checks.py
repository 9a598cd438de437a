"""Lists of problems, as errors of evaluations show them."""

from __future__ import annotations

LISTED = 20  # problems of one kind that an error spells out


def shorten_list(before: str, items: list[str], after: str = "") -> list[str]:
    """One line per item, and the number of those left out."""
    lines = [f"{before}{item}{after}" for item in items[:LISTED]]
    if len(items) > LISTED:
        message = f"… and {len(items) - LISTED} more like this"
        lines.append(message)
    return lines
