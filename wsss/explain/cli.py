"""Command line of the explaining methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.atomic import write_bytes, write_text
from wsss.core.files.run_card_file import run_card
from wsss.core.log import log
from wsss.core.options import ImagesOption, OutOption, RecipeOption, ShardOption, ThreadsOption
from wsss.core.shard import Shard

app = typer.Typer(no_args_is_help=True, help="Explaining methods, their metrics, localization.")

ModelOption = Annotated[Path, typer.Option("--model", help="Trained classifier.")]
MapsOption = Annotated[list[Path], typer.Option("--maps", help="Maps file; repeat it for shards.")]


@app.command(
    "maps",
    epilog="Example: wsss explain maps --model model.safetensors --images val.h5 --threads 2 "
    '--recipe \'{"method": "minmax-cam", "side": 224}\' --out explained.val.h5',
)
def maps_command(
    model: ModelOption,
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
    """Write the maps of every image's detected (or given) classes."""
    from wsss.attribution.recipe import AnyExplanation
    from wsss.core.recipe import canonical_json, parse_json

    typed = parse_json(recipe, AnyExplanation)
    part = Shard.parse(shard)

    from wsss.explain.extraction import explain

    explain(typed, model, images, masks=masks, shard=part, threads=threads, out=out)
    run_card(out, explain, canonical_json(typed.model_dump(mode="json")), threads=threads)


@app.command(
    "metrics",
    epilog="Example: wsss explain metrics --model model.safetensors --images val.h5 --threads 2 "
    '--maps explained.val.h5 --recipe \'{"curves": {"steps": 20}}\' '
    "--out-rows explain.val.csv --out explain.val.eval.json",
)
def metrics_command(
    model: ModelOption,
    images: ImagesOption,
    maps: MapsOption,
    out_rows: Annotated[Path, typer.Option("--out-rows", help="CSV, a row for each detection.")],
    out: OutOption,
    recipe: Annotated[str, typer.Option("--recipe", help="The recipe as JSON.")] = "{}",
    threads: ThreadsOption = 1,
) -> None:
    """Mask the images by their maps: what gets surer, what drops, what the others do."""
    from wsss.explain.recipe import MetricsRecipe

    typed = MetricsRecipe.from_json(recipe)

    from wsss.core.files.evaluation_file import to_text
    from wsss.explain.metrics.averages import write_rows
    from wsss.explain.metrics.evaluation import mask_and_score, one_line

    rows, summary = mask_and_score(typed, model, images, maps, threads=threads)
    write_rows(rows, out_rows)
    write_text(out, to_text(summary))
    run_card(out, mask_and_score, typed.to_json(), threads=threads)
    log.info("%s: %s", out, one_line(summary))


@app.command(
    "localization",
    epilog="Example: wsss explain localization --maps explained.val.h5 --masks val.masks.h5 "
    "--recipe '{\"percentile\": 90}' --out localization.val.eval.json",
)
def localization_command(
    maps: MapsOption,
    masks: Annotated[Path, typer.Option("--masks", help="Ground truth, an HDF5 masks file.")],
    recipe: RecipeOption,
    out: OutOption,
    percentile_from: Annotated[
        Path | None,
        typer.Option("--percentile-from", help="Scores on train whose percentile is used."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The run's seed, for the record.")
    ] = None,
) -> None:
    """Score maps as localization: MaxBoxAcc, MaxBoxAccV2, PxAP, peak IoU."""
    from wsss.explain.recipe import LocalizationRecipe

    typed = LocalizationRecipe.from_json(recipe)

    from wsss.core.files.evaluation_file import to_text
    from wsss.explain.localization.evaluation import localize, one_line

    result = localize(typed, maps, masks, percentile_from=percentile_from, seed=seed)
    write_text(out, to_text(result))
    run_card(out, localize, typed.to_json(), seed=seed)
    log.info("%s: %s", out, one_line(result))


@app.command(
    "weights",
    epilog="Example: wsss explain weights --model vanilla/model.safetensors "
    "--model kur/model.safetensors --out class-weights.png",
)
def weights_command(
    models: Annotated[
        list[Path], typer.Option("--model", help="Trained classifier; repeat to compare.")
    ],
    out: OutOption,
) -> None:
    """Draw how alike the classes' weights are, as a heat map of their correlation."""
    from wsss.explain.class_weights import weights_figure

    write_bytes(out, weights_figure(models))
    run_card(out, weights_figure, "{}")
