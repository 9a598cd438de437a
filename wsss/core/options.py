"""Options that the commands of several stages share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeOption = Annotated[
    str, typer.Option("--recipe", help="The recipe as JSON; {} takes the defaults.")
]
OutOption = Annotated[Path, typer.Option("--out", help="File to write.")]
ImagesOption = Annotated[
    list[Path], typer.Option("--images", help="Images file; repeat it for shards.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Processor threads.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Worker processes.")]
ShardOption = Annotated[
    str, typer.Option("--shard", help="Only this part of the images: 2/7 is the second of seven.")
]
GpusOption = Annotated[
    int,
    typer.Option("--gpus", min=1, help="GPUs that share each batch; the batch stays as it is."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]
