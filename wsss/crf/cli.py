"""Command line of the dense CRF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.run_card_file import run_card
from wsss.core.options import ImagesOption, OutOption, RecipeOption, WorkersOption

app = typer.Typer(no_args_is_help=True, help="Dense CRF: refine maps or masks.")


@app.command(
    "refine",
    epilog="Example: wsss crf refine --input cam.train.h5 --images data/train.h5 "
    "--recipe '{\"threshold\": 0.3}' --out cam.train.crf-labels.h5 --workers 4",
)
def refine_command(
    source: Annotated[
        list[Path], typer.Option("--input", help="Maps or masks file; repeat it for shards.")
    ],
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    threshold_from: Annotated[
        Path | None,
        typer.Option(
            "--threshold-from", help="Evaluation JSON whose threshold `threshold_on: train` takes."
        ),
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Refine every map or mask of a file by a dense CRF on its image, into a masks file."""
    from wsss.crf.recipe import CrfRecipe

    typed = CrfRecipe.from_json(recipe)

    from wsss.crf.refine import refine

    refine(source, images, typed, out, workers, threshold_from)
    run_card(out, refine, typed.to_json())


@app.command("presets", epilog="Example: wsss crf presets")
def presets_command() -> None:
    """Print the published pairwise terms that a recipe can name."""
    from wsss.crf.presets import PRESETS, USED_BY

    row = "{:<14}{:>8}{:>8}{:>8}{:>8}{:>8}  {}".format
    typer.echo(row("preset", "gaussian", "", "bilat.", "", "", ""))
    typer.echo(row("", "sxy", "compat", "sxy", "srgb", "compat", "used by"))
    for name, term in PRESETS.items():
        g, b = term.gaussian, term.bilateral
        numbers = (f"{v:g}" for v in (g.sxy, g.compat, b.sxy, b.srgb, b.compat))
        typer.echo(row(name, *numbers, USED_BY[name]))
