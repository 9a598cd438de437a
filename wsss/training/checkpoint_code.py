"""Which code a checkpoint counts as: a small run card next to the folder of checkpoints."""

from __future__ import annotations

from pathlib import Path

from wsss.core.digest import code_digest
from wsss.core.files.run_card_file import counts_as, maker, read_card, write_card
from wsss.core.ranks import rank


def checkpoint_code(out: Path, module: str) -> str:
    """The digest for a checkpoint's fingerprint, which stands on the card next to it.

    out: the model file to come. module: the training's, as "wsss.classifier.train".

    A card that counts as today's code gives its own digest, so that the training resumes.
    Otherwise it is today's digest, and the first process writes a new card.
    UserError if the card cannot be written.
    """
    file = checkpoint_card(out)
    card = read_card(file)
    if card is None or not counts_as(card, code_digest(module)):
        card = maker(out.name, module)
        if rank() == 0:
            write_card(file, card)
    return card["code"]


def checkpoint_card(out: Path) -> Path:
    """Where the card lies: .checkpoints-<name>.run.json next to the model file to come."""
    return out.parent / f".checkpoints-{out.stem}.run.json"
