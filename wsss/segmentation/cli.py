"""Command line of the segmentation stage."""

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
    ShardOption,
    ThreadsOption,
    WorkersOption,
)
from wsss.core.shard import Shard

app = typer.Typer(no_args_is_help=True, help="Segmentation networks trained on masks.")


@app.command(
    "train",
    epilog="Example: wsss segmentation train --images train.h5 --masks pseudo.train.h5 --seed 0 "
    '--threads 2 --recipe \'{"backbone": {"name": "resnet10t"}}\' --out model.safetensors',
)
def train_command(
    images: Annotated[Path, typer.Option("--images", help="Images file.")],
    masks: Annotated[
        list[Path],
        typer.Option("--masks", help="Masks to learn from, 255 = ignored; repeat it for shards."),
    ],
    recipe: RecipeOption,
    out: OutOption,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Pretrained weights, if the recipe has some.")
    ] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    gpus: GpusOption = 1,
) -> None:
    """Train DeepLabV3+ on masks; started again after a kill, it resumes."""
    from wsss.segmentation.recipe import TrainRecipe

    typed = TrainRecipe.from_json(recipe)

    from wsss.segmentation.train import train

    train(typed, images, masks, weights=weights, seed=seed, threads=threads, gpus=gpus, out=out)
    run_card(out, train, typed.to_json(), seed=seed, threads=threads)


@app.command(
    "predict",
    epilog="Example: wsss segmentation predict --model model.safetensors --images val.h5 "
    "--threads 2 --recipe '{\"scales\": [0.5, 1.0, 1.5]}' --out prediction.val.h5",
)
def predict_command(
    model: Annotated[Path, typer.Option("--model", help="Trained segmentation network.")],
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    shard: ShardOption = "1/1",
    threads: ThreadsOption = 1,
) -> None:
    """Write the class scores of every image, without reading any label."""
    from wsss.segmentation.recipe import PredictRecipe

    typed = PredictRecipe.from_json(recipe)

    from wsss.segmentation.predict import predict

    predict(typed, model, images, shard=Shard.parse(shard), threads=threads, out=out)
    run_card(out, predict, typed.to_json(), threads=threads)


@app.command(
    "masks",
    epilog="Example: wsss segmentation masks --scores prediction.val.h5 --out masks.val.h5 "
    "--png masks --workers 2",
)
def masks_command(
    scores: Annotated[
        list[Path], typer.Option("--scores", help="Class scores; repeat it for shards.")
    ],
    out: OutOption,
    png: Annotated[
        Path | None, typer.Option("--png", help="Also write palette PNGs into this folder.")
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Write the most probable class of every pixel, as a masks file and as PNG."""
    from wsss.segmentation.masks import write_masks

    write_masks(scores, out, png=png, workers=workers)
    run_card(out, write_masks, "{}")
