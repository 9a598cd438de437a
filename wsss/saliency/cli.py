"""Command line of the saliency stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.run_card_file import run_card
from wsss.core.log import log
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

app = typer.Typer(no_args_is_help=True, help="What is foreground, whatever its class.")

ImageOption = Annotated[Path, typer.Option("--images", help="Images file.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Pretrained weights of the backbone.")
]
ModelOption = Annotated[Path, typer.Option("--model", help="Trained model.")]


@app.command(
    "train-c2am",
    epilog="Example: wsss saliency train-c2am --images train.h5 --hints cam.train.h5 --seed 0 "
    '--recipe \'{"hints": {"threshold": 0.4}}\' --threads 2 --out c2am.safetensors',
)
def train_c2am_command(
    images: ImageOption,
    recipe: RecipeOption,
    out: OutOption,
    hints: Annotated[
        list[Path] | None,
        typer.Option("--hints", help="CAMs of the images, for C²AM-H; repeat it for shards."),
    ] = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    gpus: GpusOption = 1,
) -> None:
    """Train C²AM, or C²AM-H with hints; started again after a kill, it resumes."""
    from wsss.saliency.recipe import C2amTrain

    typed = C2amTrain.from_json(recipe)

    from wsss.saliency.train_c2am import train

    options = {"weights": weights, "seed": seed, "threads": threads, "gpus": gpus}
    train(typed, images, hints=hints, out=out, **options)
    run_card(out, train, typed.to_json(), seed=seed, threads=threads)


@app.command(
    "c2am",
    epilog="Example: wsss saliency c2am --model c2am.safetensors --images train.h5 --recipe '{}' "
    "--threads 2 --out c2am.train.h5",
)
def c2am_command(
    model: ModelOption,
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    shard: ShardOption = "1/1",
    threads: ThreadsOption = 1,
) -> None:
    """Write C²AM's map of every image."""
    from wsss.saliency.recipe import SaliencyMaps

    typed = SaliencyMaps.from_json(recipe)
    part = Shard.parse(shard)

    from wsss.saliency.extraction import extract_c2am

    extract_c2am(typed, model, images, shard=part, threads=threads, out=out)
    run_card(out, extract_c2am, typed.to_json(), threads=threads)


@app.command(
    "masks",
    epilog="Example: wsss saliency masks --maps c2am.train.h5 --images train.h5 "
    "--recipe '{\"threshold\": 0.2}' --workers 4 --out c2am.masks.train.h5",
)
def masks_command(
    maps: Annotated[list[Path], typer.Option("--maps", help="Saliency maps; repeat for shards.")],
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    workers: WorkersOption = 1,
) -> None:
    """Write pseudo saliency masks: a threshold and a dense CRF."""
    from wsss.saliency.recipe import PseudoSaliency

    typed = PseudoSaliency.from_json(recipe)

    from wsss.core.maps import SALIENT
    from wsss.crf.pseudo import make_pseudo_masks

    make_pseudo_masks(typed, maps, images, classes=SALIENT, workers=workers, out=out)
    run_card(out, make_pseudo_masks, typed.to_json())


@app.command(
    "train",
    epilog="Example: wsss saliency train --images train.h5 --masks c2am.masks.train.h5 --seed 0 "
    '--recipe \'{"architecture": "unet", "training": {"batch_size": 10}}\' '
    "--weights resnet50.safetensors --threads 2 --out network.safetensors",
)
def train_command(
    images: ImageOption,
    masks: Annotated[
        list[Path],
        typer.Option("--masks", help="Pseudo saliency masks of its images; repeat it for shards."),
    ],
    recipe: RecipeOption,
    out: OutOption,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    gpus: GpusOption = 1,
) -> None:
    """Train a saliency network on pseudo masks; started again after a kill, it resumes."""
    from wsss.saliency.recipe import NetworkTrain

    typed = NetworkTrain.from_json(recipe)

    from wsss.saliency.train_network import train_network

    train_network(
        typed, images, masks, weights=weights, seed=seed, threads=threads, gpus=gpus, out=out
    )
    run_card(out, train_network, typed.to_json(), seed=seed, threads=threads)


@app.command(
    "predict",
    epilog="Example: wsss saliency predict --model network.safetensors --images train.h5 "
    "--recipe '{\"scales\": [1.0]}' --threads 2 --out saliency.train.h5",
)
def predict_command(
    model: ModelOption,
    images: ImagesOption,
    recipe: RecipeOption,
    out: OutOption,
    shard: ShardOption = "1/1",
    threads: ThreadsOption = 1,
) -> None:
    """Write a saliency network's map of every image."""
    from wsss.saliency.recipe import SaliencyMaps

    typed = SaliencyMaps.from_json(recipe)
    part = Shard.parse(shard)

    from wsss.saliency.extraction import extract_network

    extract_network(typed, model, images, shard=part, threads=threads, out=out)
    run_card(out, extract_network, typed.to_json(), threads=threads)


@app.command(
    "export", epilog="Example: wsss saliency export --maps saliency.train.h5 --out saliency-pngs"
)
def export_command(
    maps: Annotated[list[Path], typer.Option("--maps", help="Saliency maps; repeat for shards.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")
    ] = False,
) -> None:
    """Write one grey PNG per image, of the image's size: 255 is salient, 0 background."""
    from wsss.saliency.export import export

    count = export(maps, out, overwrite=overwrite)
    log.info("%s: %d maps", out, count)
