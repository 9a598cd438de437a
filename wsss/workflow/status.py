"""`wsss status`: which outputs were made by other code than today's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from wsss.core.digest import code_digest
from wsss.core.errors import UserError
from wsss.core.files.run_card_file import counts_as, read_card, write_card
from wsss.core.mistakes import did_you_mean
from wsss.workflow.entry_modules import module_of, stage_of, stages

app = typer.Typer()


class Stale(NamedTuple):
    """An output that other code made, or whose run card cannot be read.

    today: the digest of the code that would make it now, None if code or card cannot be found.
    """

    output: Path
    reason: str
    card_file: Path
    stage: str | None = None
    today: str | None = None


def stale_outputs(results: Path, stage: str | None = None) -> list[Stale]:
    """Outputs under `results` whose run cards name other code than today's.

    Checkpoints of interrupted trainings are among them, each as its folder.
    Outputs without a readable card belong to no stage.
    stage: only its outputs. UserError for an unknown stage or a missing folder.
    """
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; give the results folder of your study")
    if stage is not None and stage not in stages():
        raise UserError(f"no stage '{stage}'{did_you_mean(stage, stages())}")
    judged = (_judge(output, card_file) for output, card_file in _outputs(results))
    return [stale for stale in judged if stale and stage in (None, stale.stage)]


def accept(stale: list[Stale]) -> list[Stale]:
    """Let outputs count as made by today's code, and return those that could be accepted.

    Their run cards get the digest of today's code as `accepted` and stay as they are otherwise.
    """
    able = [one for one in stale if one.today is not None]
    for one in able:
        card = read_card(one.card_file)
        if card is not None:
            write_card(one.card_file, card | {"accepted": one.today})
    return able


def _outputs(results: Path) -> Iterator[tuple[Path, Path]]:
    """Each output and each folder of checkpoints that exists, with its run card."""
    for card_file in sorted(results.rglob("*.run.json")):
        name = card_file.name.removesuffix(".run.json")
        is_of_checkpoints = name.startswith(".checkpoints-")
        output = (card_file.parent if is_of_checkpoints else card_file.parent.parent) / name
        if output.exists():
            yield output, card_file


def _judge(output: Path, card_file: Path) -> Stale | None:
    """What is stale about an output, or None."""
    card = read_card(card_file)
    if card is None:
        reason = f"card unreadable ({card_file}); make the output again"
        return Stale(output, reason, card_file)
    command = card.get("command") or []
    module = module_of(command) or card["entry"]
    try:
        today = code_digest(module)
    except ValueError:
        return Stale(output, f"{module} is gone", card_file, stage_of(command))
    if counts_as(card, today):
        return None
    reason = f"{module} changed since commit {card['commit']}"
    if module != card["entry"]:
        reason = f"{card['entry']} became {module} after commit {card['commit']}"
    return Stale(output, reason, card_file, stage_of(command), today)


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="The results folder.")] = Path("results"),
    stage: Annotated[
        str | None, typer.Option("--stage", help="Only the outputs of this stage, such as cam.")
    ] = None,
    accepting: Annotated[
        bool,
        typer.Option("--accept", help="Let these outputs count as made by today's code."),
    ] = False,
) -> None:
    """List the outputs that other code made.

    After a change of code that changes no numbers, --accept lets them count as made by today's
    code. Then Snakemake does not make them again, and interrupted trainings resume.

    Example: `wsss status --stage cam --accept`
    """
    stale = stale_outputs(results, stage)
    accepted = accept(stale) if accepting else []
    for one in accepted:
        typer.echo(f"{one.output}\taccepted: {one.reason}")
    left = [one for one in stale if one not in accepted]
    for one in left:
        typer.echo(f"{one.output}\t{one.reason}")
    if accepting:
        typer.echo(f"{len(accepted)} outputs accepted")
    typer.echo(f"{len(left)} outputs made by other code, or with an unreadable card")
