"""The digest of code that a job is compared by: today's, or the recorded one."""

from __future__ import annotations

from pathlib import Path

from wsss.core.digest import code_digest
from wsss.core.files.run_card_file import card_path, read_card


def code_of(module: str, output: Path, *, track: bool) -> str:
    """Today's digest of `module`, or without `track` the one that the output's run card recorded.

    So nothing looks changed while `track_code: false` stands, and turning it on again compares
    with the same record.
    """
    if track:
        return code_digest(module)
    card = read_card(card_path(output))
    return card["code"] if card else code_digest(module)
