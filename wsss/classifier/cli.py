"""Command line of the classifier stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.atomic import write_bytes, write_text
from wsss.core.files.run_card_file import run_card
from wsss.core.log import log
from wsss.core.options import (
    GpusOption,
    ImagesOption,
    OutOption,
    RecipeOption,
    SeedOption,
    ThreadsOption,
)

app = typer.Typer(no_args_is_help=True, help="Classifiers trained on image-level labels.")


@app.command(
    "train",
    epilog="Example: wsss classifier train --images train.h5 --seed 0 --threads 2 "
    '--recipe \'{"objective": "vanilla"}\' --out model.safetensors',
)
def train_command(
    images: Annotated[Path, typer.Option("--images", help="Images file with labels.")],
    recipe: RecipeOption,
    out: OutOption,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Pretrained weights, if the recipe has some.")
    ] = None,
    ordinary: Annotated[
        Path | None, typer.Option("--ordinary", help="Model of the recipe's ordinary classifier.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option("--validation", help="Images file scored every epoch.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option("--out-history", help="CSV of every epoch's scores.")
    ] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    gpus: GpusOption = 1,
) -> None:
    """Train a multi-label classifier; started again after a kill, it resumes."""
    from wsss.classifier.recipe import parse_classifier

    typed = parse_classifier(recipe)

    from wsss.classifier.train import train

    train(
        typed,
        images,
        weights=weights,
        seed=seed,
        threads=threads,
        gpus=gpus,
        out=out,
        ordinary=ordinary,
        validation=validation,
        history=history,
    )
    run_card(out, train, typed.to_json(), seed=seed, threads=threads)


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
    from wsss.classifier.predict import predict

    predict(model, images, threads=threads, out=out)
    run_card(out, predict, "{}", threads=threads)


@app.command(
    "evaluate",
    epilog="Example: wsss classifier evaluate --model model.safetensors --images val.h5 "
    "--out model.val.eval.json",
)
def evaluate_command(
    model: Annotated[Path, typer.Option("--model", help="Trained classifier.")],
    images: ImagesOption,
    out: OutOption,
    threads: ThreadsOption = 1,
) -> None:
    """Score a classifier on image-level labels: F1, mAP, precision, recall."""
    from wsss.classifier.evaluation import evaluate, one_line
    from wsss.core.files.evaluation_file import to_text

    result = evaluate(model, images, threads=threads)
    write_text(out, to_text(result))
    run_card(out, evaluate, "{}", threads=threads)
    log.info("%s: %s", out, one_line(result))


@app.command(
    "curve", epilog="Example: wsss classifier curve --history history.csv --out history.png"
)
def curve_command(
    history: Annotated[Path, typer.Option("--history", help="What a training wrote.")],
    out: OutOption,
) -> None:
    """Draw losses, scores and learning rate of every epoch."""
    from wsss.classifier.curve import curve_figure

    write_bytes(out, curve_figure(history))
    run_card(out, curve_figure, "{}")
