"""The command `wsss <stage> <action>`: puts the stages' commands together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss import __version__
from wsss.affinity.cli import app as affinity
from wsss.cam.cli import app as cam
from wsss.classifier.cli import app as classifier
from wsss.commands.schema import app as schema
from wsss.commands.weights import app as weights
from wsss.core.log import run, start_logging
from wsss.crf.cli import app as crf
from wsss.data.cli import app as data
from wsss.evaluation.cli import app as evaluation
from wsss.explain.cli import app as explain
from wsss.report.cli import app as report
from wsss.saliency.cli import app as saliency
from wsss.segmentation.cli import app as segmentation
from wsss.workflow.status import app as status

app = typer.Typer(
    name="wsss",
    help="Weakly supervised semantic segmentation: every stage as a command. "
    "The workflow (`snakemake all`) calls these; each also runs alone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for name, stage in {
    "data": data,
    "classifier": classifier,
    "cam": cam,
    "crf": crf,
    "saliency": saliency,
    "affinity": affinity,
    "segmentation": segmentation,
    "explain": explain,
    "evaluation": evaluation,
    "report": report,
    "weights": weights,
}.items():
    app.add_typer(stage, name=name)
for command in (status, schema):
    app.registered_commands += command.registered_commands


@app.callback(invoke_without_command=True)
def _main(
    log: Annotated[Path | None, typer.Option(help="Also write the log to this file.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    start_logging(log)
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    run(app)
