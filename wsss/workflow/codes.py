"""The code param of a rule: a digest that changes when its output must be made again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from wsss.core.digest import code_digest
from wsss.core.files.run_card_file import card_path, counts_as, read_card

# How Snakemake records a digest among the params of a job.
_DIGEST = re.compile(r"'([0-9a-f]{12})'")


def code_of(module: str, output: Path, recorded: Sequence[str] | None, *, track: bool) -> str:
    """The digest by which Snakemake decides whether code of `module` made the output.

    recorded: the params with which Snakemake remembers the output, None if it remembers none.

    It is today's digest, unless the output counts as made by today's code, as its run card says.
    Such an output keeps the digest that Snakemake remembers, so that nothing has changed for it.
    Without `track` every output keeps it.
    The card's own digest would not do: a job's params are recorded as they were before it ran.
    """
    today = code_digest(module)
    card = read_card(card_path(output))
    if track and not (card and counts_as(card, today)):
        return today
    digests = [match[1] for param in recorded or () if (match := _DIGEST.fullmatch(param))]
    return digests[0] if digests else today
