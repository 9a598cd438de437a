"""`wsss status`: which outputs were made by other code than today's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wsss.core.digest import code_digest

app = typer.Typer()


def stale_outputs(results: Path) -> list[tuple[Path, str]]:
    """Outputs under `results` whose run card names other code than today's, with the reason."""
    stale = []
    for card_file in sorted(results.rglob("log/*.run.json")):
        card = json.loads(card_file.read_text())
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
    typer.echo(f"{len(stale)} outputs made by other code")
