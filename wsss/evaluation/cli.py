"""wsss evaluation: score maps and masks, and draw threshold curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.files.atomic import write_bytes, write_text
from wsss.core.files.run_card_file import run_card
from wsss.core.log import log
from wsss.core.options import RecipeOption, WorkersOption
from wsss.evaluation.recipe import EvaluationRecipe

app = typer.Typer(no_args_is_help=True, help="Score maps and masks against ground truth.")

SeedOption = Annotated[int | None, typer.Option("--seed", help="The run's seed, for the record.")]


@app.command(
    epilog="Example: wsss evaluation maps --maps cam.val.h5 --masks val.masks.h5 "
    "--threshold-from cam.train.eval.json --recipe '{}' --out cam.val.eval.json"
)
def maps(
    maps: Annotated[list[Path], typer.Option("--maps", help="Maps file; repeat for shards.")],
    masks: Annotated[Path, typer.Option("--masks", help="Ground truth, an HDF5 masks file.")],
    recipe: RecipeOption,
    out: Annotated[Path, typer.Option("--out", help="JSON to write.")],
    threshold_from: Annotated[
        Path | None,
        typer.Option("--threshold-from", help="Evaluation on train whose threshold is used."),
    ] = None,
    image_labels: Annotated[
        Path | None,
        typer.Option("--image-labels", help="Images file whose labels limit a network's scores."),
    ] = None,
    saliency: Annotated[
        list[Path] | None,
        typer.Option(
            "--saliency", help="Saliency maps that are the background; repeat it for shards."
        ),
    ] = None,
    seed: SeedOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Score a maps file at every threshold, or its arg-max where it has a background channel."""
    settings = EvaluationRecipe.from_json(recipe)

    from wsss.core.files.evaluation_file import to_text
    from wsss.evaluation.map_evaluation import evaluate_maps
    from wsss.evaluation.record import one_line

    result = evaluate_maps(
        maps,
        masks,
        settings,
        threshold_from=threshold_from,
        image_labels=image_labels,
        saliency=saliency or (),
        seed=seed,
        workers=workers,
    )
    write_text(out, to_text(result))
    run_card(out, evaluate_maps, settings.to_json(), seed=seed)
    log.info("%s: %s", out, one_line(result))


@app.command(
    epilog="Example: wsss evaluation masks --predictions my-masks/ --ground-truth "
    "VOC2012/SegmentationClass --list val.txt --num-classes 21 --json val.eval.json"
)
def masks(
    predictions: Annotated[
        list[Path],
        typer.Option(
            "--predictions", help="Folder of ID.png files, or HDF5 masks (repeat for shards)."
        ),
    ],
    ground_truth: Annotated[
        list[Path],
        typer.Option(
            "--ground-truth",
            help="Folder of ID.png files, or HDF5 masks, of the ground truth (repeat for shards).",
        ),
    ],
    out: Annotated[Path, typer.Option("--json", "--out", help="JSON to write.")],
    num_classes: Annotated[
        int | None,
        typer.Option("--num-classes", help="With background (VOC: 21); HDF5 masks know theirs."),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option("--list", help="Text file of the image ids to evaluate.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="The recipe as JSON.")] = "{}",
    seed: SeedOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Score masks: anybody's PNG masks (8-bit grey or palette, named by id) or HDF5 mask files."""
    settings = EvaluationRecipe.from_json(recipe)

    from wsss.core.files.evaluation_file import to_text
    from wsss.evaluation.mask_evaluation import evaluate_masks
    from wsss.evaluation.mask_source import read_ids
    from wsss.evaluation.record import one_line

    result = evaluate_masks(
        predictions,
        ground_truth,
        settings,
        num_classes=num_classes,
        ids=None if ids is None else read_ids(ids),
        seed=seed,
        workers=workers,
    )
    write_text(out, to_text(result))
    run_card(out, evaluate_masks, settings.to_json(), seed=seed)
    log.info("%s: %s", out, one_line(result))


@app.command(
    epilog="Example: wsss evaluation curve --eval vanilla/cam.train.eval.json "
    "--eval p-noc/cam.train.eval.json --out curve.png"
)
def curve(
    evaluations: Annotated[
        list[Path], typer.Option("--eval", help="Evaluation of maps; repeat to compare.")
    ],
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")],
) -> None:
    """Draw mIoU, over- and under-activation against the threshold."""
    from wsss.evaluation.figure import curve_figure

    write_bytes(out, curve_figure(evaluations))
    run_card(out, curve_figure, "{}")
