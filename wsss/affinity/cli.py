"""Command line of the affinity stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.run_card_file import run_card
from wsss.core.options import (
    GpusOption,
    ImagesOption,
    OutOption,
    RecipeOption,
    SeedOption,
    ThreadsOption,
    WorkersOption,
)

app = typer.Typer(no_args_is_help=True, help="From class maps to pseudo masks, by affinities.")

MapsOption = Annotated[list[Path], typer.Option("--maps", help="Maps file; repeat it for shards.")]


@app.command(
    "labels",
    epilog="Example: wsss affinity labels --maps cam.train.h5 --images train.h5 "
    "--recipe '{\"foreground\": 0.4}' --workers 4 --out labels.train.h5",
)
def labels_command(
    maps: MapsOption,
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    saliency: Annotated[
        list[Path], typer.Option("--saliency", help="Saliency maps; repeat it for shards.")
    ] = [],  # noqa: B006
    workers: WorkersOption = 1,
) -> None:
    """Write affinity labels: sure classes, sure background, and 255 between them."""
    from wsss.affinity.recipe import LabelsRecipe

    typed = LabelsRecipe.from_json(recipe)

    from wsss.affinity.labels import make_labels

    make_labels(typed, maps, images, saliency=saliency, workers=workers, out=out)
    run_card(out, make_labels, typed.to_json())


@app.command(
    "train",
    epilog="Example: wsss affinity train --images train.h5 --labels labels.train.h5 "
    "--weights classifier/model.safetensors --recipe '{}' --seed 0 --threads 2 "
    "--out model.safetensors",
)
def train_command(
    images: Annotated[Path, typer.Option("--images", help="Images file.")],
    labels: Annotated[
        list[Path],
        typer.Option("--labels", help="Affinity labels of its images; repeat it for shards."),
    ],
    recipe: RecipeOption,
    out: OutOption,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Weights of the frozen backbone.")
    ] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    gpus: GpusOption = 1,
) -> None:
    """Train a boundary network on affinity labels; started again after a kill, it resumes."""
    from wsss.affinity.recipe import NetworkRecipe

    typed = NetworkRecipe.from_json(recipe)

    from wsss.affinity.train import train

    train(typed, images, labels, weights=weights, seed=seed, threads=threads, gpus=gpus, out=out)
    run_card(out, train, typed.to_json(), seed=seed, threads=threads)


@app.command(
    "walk",
    epilog="Example: wsss affinity walk --model model.safetensors --maps cam.train.h5 "
    "--images train.h5 --recipe '{}' --threads 2 --out walk.train.h5",
)
def walk_command(
    model: Annotated[Path, typer.Option("--model", help="Trained boundary network.")],
    maps: MapsOption,
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    threads: ThreadsOption = 1,
) -> None:
    """Move class maps by a random walk that stops at the boundaries of a trained network."""
    from wsss.affinity.recipe import WalkRecipe

    typed = WalkRecipe.from_json(recipe)

    from wsss.affinity.walk_maps import walk_maps

    walk_maps(typed, model, maps, images, threads=threads, out=out)
    run_card(out, walk_maps, typed.to_json(), threads=threads)


@app.command(
    "pseudo",
    epilog="Example: wsss affinity pseudo --maps walk.train.h5 --images train.h5 "
    "--recipe '{\"threshold\": 0.35}' --workers 4 --out pseudo.train.h5",
)
def pseudo_command(
    maps: MapsOption,
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    workers: WorkersOption = 1,
) -> None:
    """Write pseudo masks: a background threshold on the maps, then a dense CRF."""
    from wsss.crf.recipe import PseudoRecipe

    typed = PseudoRecipe.from_json(recipe)

    from wsss.crf.pseudo import make_pseudo_masks

    make_pseudo_masks(typed, maps, images, workers=workers, out=out)
    run_card(out, make_pseudo_masks, typed.to_json())
