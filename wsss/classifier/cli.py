"""Command line of the classifier stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from wsss.core.command import OutOption, RecipeOption, SeedOption, run_card

app = typer.Typer(no_args_is_help=True, help="Classifiers trained on image-level labels.")

ImagesOption = Annotated[
    list[Path], typer.Option("--images", help="Images file; repeat it for shards.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Processor threads.")]


@app.command(
    "train",
    epilog="Example: wsss classifier train --images train.h5 --seed 0 --threads 2 "
    '--recipe \'{"backbone": {"name": "resnet10t"}}\' --out model.safetensors',
)
def train_command(
    images: Annotated[Path, typer.Option("--images", help="Images file with labels.")],
    recipe: RecipeOption,
    out: OutOption,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Pretrained weights, if the recipe has some.")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option("--validation", help="Images file scored every epoch; changes no weights."),
    ] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
) -> None:
    """Train a multi-label classifier; started again after a kill, it resumes."""
    started = time.monotonic()
    from wsss.classifier.recipe import ClassifierRecipe
    from wsss.classifier.train import train

    typed = ClassifierRecipe.from_json(recipe)
    train(
        typed,
        images,
        weights=weights,
        seed=seed,
        threads=threads,
        out=out,
        validation=validation,
    )
    run_card(out, train, typed.to_json(), started, seed=seed, threads=threads)


@app.command(
    "predict",
    epilog="Example: wsss classifier predict --model model.safetensors --images val.h5 "
    "--out scores.csv",
)
def predict_command(
    model: Annotated[Path, typer.Option("--model", help="Trained classifier.")],
    images: ImagesOption,
    out: OutOption,
    threads: ThreadsOption = 1,
) -> None:
    """Write every image's class probabilities as CSV."""
    started = time.monotonic()
    from wsss.classifier.predict import predict

    predict(model, images, threads=threads, out=out)
    run_card(out, predict, "{}", started, threads=threads)
