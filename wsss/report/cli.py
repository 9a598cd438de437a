"""wsss report: tables, their curves, and galleries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.atomic import write_bytes
from wsss.core.files.run_card_file import run_card
from wsss.core.log import log

app = typer.Typer(no_args_is_help=True, help="Tables over experiments and seeds; galleries.")

SpecOption = Annotated[
    str, typer.Option("--spec", help="Recipe and files as JSON; - reads it from standard input.")
]


@app.command(
    epilog="""Example: wsss report table --spec '{"recipe": {"experiments": ["vanilla"],
    "columns": ["cam"]}, "rows": [{"name": "vanilla", "cells": {"cam": ["cam.val.eval.json"]}}]}'
    --out-csv t.csv --out-md t.md --out-tex t.tex"""
)
def table(
    spec: SpecOption,
    out_csv: Annotated[Path, typer.Option("--out-csv", help="Raw numbers to write.")],
    out_md: Annotated[Path, typer.Option("--out-md", help="Markdown to write.")],
    out_tex: Annotated[Path, typer.Option("--out-tex", help="LaTeX to write.")],
) -> None:
    """Make a table of metrics or run times: mean and standard deviation over seeds."""
    from wsss.report.spec import TableSpec, parse

    given = parse(spec, TableSpec)

    from wsss.report.render import write_tables

    written = write_tables(given, csv=out_csv, markdown=out_md, latex=out_tex)
    for out in (out_csv, out_md, out_tex):
        run_card(out, write_tables, given.recipe.to_json())
    log.info("%s: %d rows, %d columns", out_md, len(written.cells), len(written.columns))


@app.command(
    epilog="""Example: wsss report curves --spec '{"recipe": {"experiments": ["vanilla"],
    "columns": ["cam"]}, "rows": [{"name": "vanilla", "files": {"cam": ["cam.val.eval.json"]}}]}'
    --out t.curves.png"""
)
def curves(
    spec: SpecOption,
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")],
) -> None:
    """Draw mIoU, FP and FN of a table's maps against the threshold, one line per experiment."""
    from wsss.report.spec import CurvesSpec, parse

    given = parse(spec, CurvesSpec)

    from wsss.report.curves import curves_figure

    write_bytes(out, curves_figure(given))
    run_card(out, curves_figure, given.recipe.to_json())


@app.command(
    epilog="""Example: wsss report gallery --spec '{"recipe": {}, "images": "val.h5",
    "ground_truth": "val.masks.h5", "columns": [{"title": "CAM", "file": "cam.val.h5"}]}'
    --out gallery.png"""
)
def gallery(
    spec: SpecOption,
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")],
) -> None:
    """Draw images next to the maps and masks that the stages made of them."""
    from wsss.report.spec import GallerySpec, parse

    given = parse(spec, GallerySpec)

    from wsss.report.gallery import make_gallery

    write_bytes(out, make_gallery(given))
    run_card(out, make_gallery, given.recipe.to_json())


@app.command(epilog="Example: wsss report show results")
def show(
    results: Annotated[Path, typer.Argument(help="The results folder.")] = Path("results"),
) -> None:
    """Print the tables of a results folder and the paths of what to open."""
    for path in sorted(results.glob("tables/*.md")):
        typer.echo(f"\n{path.read_text().rstrip()}\n")
    patterns = ("galleries/*.png", "tables/*.curves.png", "*/seed*/*/history.png")
    pictures = [path for pattern in patterns for path in sorted(results.glob(pattern))]
    if pictures:
        typer.echo("Open these:")
    for path in pictures:
        typer.echo(f"  {path}")


@app.command(epilog="Example: wsss report columns")
def columns() -> None:
    """List what a table can show, as Markdown: its columns, and the metrics of each."""
    from wsss.report.columns import columns_page

    typer.echo(columns_page(), nl=False)
