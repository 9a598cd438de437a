"""`wsss status`: which outputs were made by other code than today's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.digest import code_digest
from wsss.core.errors import UserError
from wsss.core.files.run_card_file import read_card

app = typer.Typer()


def stale_outputs(results: Path) -> list[tuple[Path, str]]:
    """Outputs under `results` whose run card names other code than today's, with the reason.

    An output whose card cannot be read is listed too. UserError if there is no such folder.
    """
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; give the results folder of your study")
    stale = []
    for card_file in sorted(results.rglob("log/*.run.json")):
        card = read_card(card_file)
        if card is None:
            out = card_file.parent.parent / card_file.name.removesuffix(".run.json")
            if out.exists():
                stale.append((out, f"card unreadable ({card_file}); make the output again"))
            continue
        out = card_file.parent.parent / card["output"]
        if not out.exists():
            continue
        try:
            today = code_digest(card["entry"])
        except ValueError:
            stale.append((out, f"{card['entry']} is gone"))
            continue
        if today != card["code"]:
            stale.append((out, f"{card['entry']} changed since commit {card['commit']}"))
    return stale


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="The results folder.")] = Path("results"),
) -> None:
    """List the outputs that other code made (what `track_code: false` leaves standing).

    Example: `wsss status`
    """
    stale = stale_outputs(results)
    for out, why in stale:
        typer.echo(f"{out}\t{why}")
    typer.echo(f"{len(stale)} outputs made by other code, or with an unreadable card")
