"""What masking images by their explanations does to the classifier: rows, and their summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import resize
from wsss.attribution.recipe import AnyExplanation
from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import Evaluated, Evaluation, Threshold
from wsss.core.files.evaluation_file import in_percent, number_or_null
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import ImageReader, MapReader
from wsss.core.log import progress
from wsss.core.recipe import parse_json
from wsss.core.software import commit
from wsss.explain.extraction import network_input
from wsss.explain.metrics.averages import AREAS, SHORT, aggregate, metrics
from wsss.explain.metrics.deletion_insertion import area, deletion, insertion, rise_blur
from wsss.explain.metrics.detections import Probabilities, per_detection
from wsss.explain.recipe import Curves, MetricsRecipe
from wsss.nn.cam_network import load_cam_network
from wsss.nn.inference import ready


def mask_and_score(
    recipe: MetricsRecipe,
    model: Path,
    images: Sequence[Path],
    maps: Sequence[Path],
    *,
    threads: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of `per_detection` of all images that have maps, and the evaluation, JSON-able.

    The recipe that made the maps sets size, detection threshold and batch. "class" in the
    rows is the class id, from 1. With recipe.curves the rows also have the areas "deletion" and
    "insertion" below their curves, whose means over the detections are in the evaluation.

    Raises UserError for maps or images of other classes than the model's, maps of other images,
    and maps that no explaining method of `wsss explain maps` made.
    """
    torch.set_num_threads(threads)
    trained = load_cam_network(model)
    classifier = Classifier.of_cam_network(ready(trained.network))
    explained, reader = MapReader(maps), ImageReader(images)
    require_classes(
        reader,
        trained.classes,
        of=model,
        remedy="give images of the data set it was trained on",
    )
    require_classes(explained, trained.classes, of=model, remedy="explain that model")
    made = _recipe_of(explained)
    missing = [name for name in explained.ids if name not in reader.ids]
    if missing:
        raise UserError(f"{images[0]}: no image '{missing[0]}', of which {maps[0]} has maps")

    def probabilities(x: Tensor) -> Tensor:
        return classifier.logits(x).sigmoid()

    found, curves = [], []
    if not len(explained):
        raise UserError(f"{maps[0]}: has maps of no image; explain some")
    size = made.batch_size if made.side else 1
    with torch.inference_mode():
        for start in progress(range(0, len(explained), size), total=-(-len(explained) // size),
                              what="mask", unit="batch"):  # fmt: skip
            records = [explained[name] for name in explained.ids[start : start + size]]
            x = network_input(
                [reader[reader.index(r.id)] for r in records], trained.backbone, made.side
            )
            unmasked = probabilities(x)
            of = torch.tensor([i for i, r in enumerate(records) for _ in r.classes]).long()
            classes = torch.tensor([c - 1 for r in records for c in r.classes.tolist()]).long()
            detected = (unmasked.cpu().double() > made.detection)[of, classes]
            of, classes = of[detected], classes[detected]
            large = [
                resize(torch.from_numpy(r.maps.astype(np.float32)), tuple(x.shape[-2:]))
                for r in records
            ]
            pairs = (torch.cat(large)[detected].to(x.device), of, classes)
            chunk = 2 * made.batch_size
            rows = per_detection(
                probabilities,
                x,
                *pairs,
                detection=made.detection,
                chunk=chunk,
                unmasked=unmasked,
                ids=[r.id for r in records],
            )
            if recipe.curves is not None:
                both = _curves(recipe.curves, probabilities, x, *pairs, chunk=chunk)
                rows = rows.assign(**{name: area(each) for name, each in both.items()})
                curves.append(both)
            found.append(rows)
    rows = pd.concat(found, ignore_index=True)
    rows["class"] += 1
    mean_curves = None
    if recipe.curves is not None:
        mean_curves = recipe.curves.model_dump(mode="json") | _mean(curves)
    return rows, _document(rows, explained, maps, trained.seed, mean_curves)


def _recipe_of(explained: MapReader) -> AnyExplanation:
    try:
        return parse_json(explained.header.recipe, AnyExplanation)
    except UserError:
        raise UserError(
            f"{explained.paths[0]}: its recipe is none of `wsss explain maps`; give maps that this "
            "command made"
        ) from None


def _curves(
    recipe: Curves,
    probabilities: Probabilities,
    x: Float[Tensor, "b 3 H W"],
    maps: Float[Tensor, "n H W"],
    images_of: Int[Tensor, " n"],
    classes_of: Int[Tensor, " n"],
    *,
    chunk: int,
) -> dict[str, Float64[np.ndarray, "n points"]]:
    gone = {"rise": None, "blur": rise_blur(x), "mean": torch.zeros_like(x)}[recipe.baseline]
    options = {"steps": recipe.steps, "chunk": chunk, "baseline": gone}
    return {
        way.__name__: way(probabilities, x, maps, images_of, classes_of, **options)
        for way in (deletion, insertion)
    }


def _mean(curves: list[dict[str, np.ndarray]]) -> dict[str, list[float] | None]:
    """Each curve's mean over the detections; None without any."""
    every = {name: np.concatenate([each[name] for each in curves]) for name in AREAS}
    return {name: c.mean(0).tolist() if len(c) else None for name, c in every.items()}


def _document(
    rows: pd.DataFrame,
    explained: MapReader,
    maps: Sequence[Path],
    seed: int,
    curves: dict[str, Any] | None,
) -> dict[str, Any]:
    about = explained.header.extra or {}
    table = aggregate(rows) / 100
    evaluation = Evaluation(
        evaluated=Evaluated(
            kind="explanations",
            files=[str(path) for path in maps],
            made_by=explained.header.source(),
        ),
        ground_truth="the classifier's own detections",
        split=explained.header.split,
        images=len(explained),
        detections=len(rows),
        classes=list(explained.header.classes),
        threshold=Threshold(value=None, how="none: soft maps"),
        tta=about.get("tta"),
        crf=None,
        image_labels=about.get("image_labels"),
        seed=seed,
        commit=commit(),
        recipe=None,
        metrics={name: number_or_null(value) for name, value in metrics(rows).items()},
        every=json.loads(table.to_json(orient="index", double_precision=15)),
        fixed=None,
        curve=None,
        **({} if curves is None else {"curves": curves}),
    )
    return evaluation.document()


def one_line(read: dict[str, Any]) -> str:
    """The five metrics in %, for the log."""
    values = {name.upper(): read["metrics"][name] for name in SHORT}
    return f"{in_percent(values)} over {read['detections']} detections in {read['images']} images"
