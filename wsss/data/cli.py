"""`wsss data`: images and ground truth into the store, and checks of both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsss.core.files.run_card_file import run_card
from wsss.core.log import log
from wsss.core.options import OutOption, RecipeOption, WorkersOption
from wsss.core.recipe import canonical_json, parse_json

app = typer.Typer(no_args_is_help=True, help="Images and ground truth into the store, and checks.")

SplitOption = Annotated[Literal["train", "val"], typer.Option("--split", help="Which split.")]
_TOY = """--recipe '{"kind": "toy"}'"""


@app.command(epilog=f"Example: wsss data images {_TOY} --split val --out val.h5")
def images(
    recipe: RecipeOption, split: SplitOption, out: OutOption, workers: WorkersOption = 1
) -> None:
    """Write the images of a split, with ids, sizes and image-level labels."""
    from wsss.data.recipe import DataRecipe

    data = parse_json(recipe, DataRecipe)

    from wsss.data.prepare import prepare_images

    count = prepare_images(data, split, out, workers)
    log.info("%s: %d images", out, count)
    run_card(out, prepare_images, data.to_json())


@app.command(
    epilog=f"Example: wsss data masks {_TOY} --split val --purpose evaluation "
    "--images val.h5 --out val.masks.h5"
)
def masks(
    recipe: RecipeOption,
    split: SplitOption,
    purpose: Annotated[
        Literal["evaluation", "supervision"],
        typer.Option("--purpose", help="Who will read them: they may be other masks."),
    ],
    images: Annotated[Path, typer.Option("--images", help="Images file of the split.")],
    out: OutOption,
    workers: WorkersOption = 1,
) -> None:
    """Write the ground-truth masks of a split's images."""
    from wsss.data.recipe import DataRecipe

    data = parse_json(recipe, DataRecipe)

    from wsss.data.prepare import prepare_masks

    count = prepare_masks(data, split, purpose, images, out, workers)
    log.info("%s: %d masks", out, count)
    run_card(out, prepare_masks, data.to_json())


@app.command(epilog="Example: wsss data validate --configfile config.yaml --dataset toy")
def validate(
    recipe: Annotated[str | None, typer.Option("--recipe", help="The recipe as JSON.")] = None,
    configfile: Annotated[
        list[Path] | None, typer.Option("--configfile", help="Configuration with the recipe.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Name of the recipe in the configuration.")
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=1, help="Examples to show per kind of problem.")
    ] = 5,
    workers: WorkersOption = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """Report every problem of a data set at once; the exit status is 1 if there is any error."""
    from wsss.core.configfile import read_recipe
    from wsss.data.recipe import DataRecipe

    if (recipe is None) == (dataset is None) or (dataset is None) != (not configfile):
        raise typer.BadParameter("give --recipe, or --configfile and --dataset")
    if dataset is not None:
        recipe = canonical_json(read_recipe(configfile or [], "dataset", dataset))
    data = parse_json(recipe or "", DataRecipe)

    from wsss.data.validate import find_problems

    problems = find_problems(data, workers, examples, strict)
    for problem in problems:
        typer.echo(f"{problem.severity}: {problem.where}: {problem.kind}: {problem.count}")
        for example in problem.examples:
            typer.echo(f"    {example}")
        if problem.count > len(problem.examples):
            typer.echo(f"    … and {problem.count - len(problem.examples)} more")
        typer.echo(f"  {problem.remedy}")
    errors = sum(problem.severity == "error" for problem in problems)
    typer.echo(f"{errors} kinds of errors, {len(problems) - errors} kinds of warnings")
    if errors:
        raise typer.Exit(1)


@app.command(
    "export-masks", epilog="Example: wsss data export-masks --masks val.masks.h5 --out png"
)
def export_masks(
    masks: Annotated[Path, typer.Option("--masks", help="Masks file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")
    ] = False,
) -> None:
    """Write the masks of a file as palette PNGs, one per id."""
    from wsss.core.files.store import MaskReader
    from wsss.data.export import export_masks

    count = export_masks(masks, out, overwrite)
    log.info("%s: %d masks", out, count)
    run_card(out, export_masks, MaskReader(masks).header.recipe)


@app.command(epilog=f"Example: wsss data preview {_TOY} --split train --out sheet.png")
def preview(
    recipe: RecipeOption,
    split: SplitOption,
    out: OutOption,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of images.")] = 16,
) -> None:
    """Draw a contact sheet: images of a split, each next to its mask."""
    from wsss.data.recipe import DataRecipe

    data = parse_json(recipe, DataRecipe)

    from wsss.data.preview_sheet import preview

    preview(data, split, count, out)
    run_card(out, preview, data.to_json())
