"""Command line of the cam stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.run_card_file import run_card
from wsss.core.options import ImagesOption, OutOption, RecipeOption, ShardOption, ThreadsOption
from wsss.core.shard import Shard

app = typer.Typer(no_args_is_help=True, help="Class activation maps of a trained classifier.")


@app.command(
    "extract",
    epilog="Example: wsss cam extract --model model.safetensors --images train.h5 --threads 2 "
    "--recipe '{\"scales\": [0.5, 1.0, 1.5]}' --out cam.train.h5",
)
def extract_command(
    model: Annotated[Path, typer.Option("--model", help="Trained classifier.")],
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Masks file, for a recipe with images: with-masks."),
    ] = None,
    shard: ShardOption = "1/1",
    threads: ThreadsOption = 1,
) -> None:
    """Write the CAMs of every image's labelled classes."""
    from wsss.cam.recipe import CamRecipe

    typed = CamRecipe.from_json(recipe)
    part = Shard.parse(shard)

    from wsss.cam.extraction import extract

    extract(typed, model, images, masks=masks, shard=part, threads=threads, out=out)
    run_card(out, extract, typed.to_json(), threads=threads)


@app.command(
    "export",
    epilog="Example: wsss cam export --maps cam.train.h5 --images train.h5 --id 2007_000063 "
    "--out overlays",
)
def export_command(
    maps: Annotated[list[Path], typer.Option("--maps", help="Maps file; repeat it for shards.")],
    images: ImagesOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    ids: Annotated[list[str], typer.Option("--id", help="Only this image; repeat it.")] = [],  # noqa: B006
) -> None:
    """Write one overlay PNG per image and class, to look at."""
    from wsss.cam.overlay import export

    export(maps, images, out, ids)
