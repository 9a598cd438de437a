"""What masking images by their explanations does to the classifier: rows, and their summary."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from wsss.core.command import commit, progress
from wsss.core.errors import UserError
from wsss.core.evaluation_file import FORMAT, VERSION
from wsss.core.recipe import parse_json
from wsss.core.store import ImageReader, MapReader
from wsss.explain.aggregate import aggregate
from wsss.explain.classifier import Classifier
from wsss.explain.extraction import network_input, require_classes
from wsss.explain.maps import resize
from wsss.explain.metrics import per_detection
from wsss.explain.recipe import AnyExplanation
from wsss.nn.cam_network import load_cam_network
from wsss.nn.inference import ready

# The names of tables, and the columns of `aggregate`.
_SHORT = {
    "ic": "increase",
    "ad": "drop",
    "ar": "retention",
    "ado": "drop_of_others",
    "aro": "retention_of_others",
}


def mask_and_score(
    model: Path, images: Sequence[Path], maps: Sequence[Path], *, threads: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of `per_detection` of all images that have maps, and the evaluation, JSON-able.

    Size, detection threshold and batch are those of the recipe that made the maps. "class" in the
    rows is the class id, from 1.

    Raises UserError for maps or images of other classes than the model's, maps of other images,
    and maps that no explaining method of `wsss explain maps` made.
    """
    torch.set_num_threads(threads)
    trained = load_cam_network(model)
    classifier = Classifier.of_cam_network(ready(trained.network))
    explained, reader = MapReader(maps), ImageReader(images)
    require_classes(reader, trained, model)
    if explained.header.classes != trained.classes:
        raise UserError(f"{maps[0]}: its classes are not those of {model}; explain that model")
    recipe = parse_json(explained.header.recipe, AnyExplanation)
    missing = [name for name in explained.ids if name not in reader.ids]
    if missing:
        raise UserError(f"{images[0]}: no image '{missing[0]}', of which {maps[0]} has maps")
    found = []
    size = recipe.batch_size if recipe.side else 1
    with torch.inference_mode():
        for start in progress(range(0, len(explained), size), total=-(-len(explained) // size),
                              what="mask", unit="batch"):  # fmt: skip
            records = [explained[name] for name in explained.ids[start : start + size]]
            x = network_input(
                [reader[reader.index(r.id)] for r in records], trained.backbone, recipe.side
            )
            large = [
                resize(torch.from_numpy(r.maps.astype(np.float32)), tuple(x.shape[-2:]))
                for r in records
            ]
            found.append(
                per_detection(
                    lambda images: classifier.logits(images).sigmoid(),
                    x,
                    torch.cat(large).to(x.device),
                    torch.tensor([i for i, r in enumerate(records) for _ in r.classes]).long(),
                    torch.tensor([c - 1 for r in records for c in r.classes.tolist()]).long(),
                    detection=recipe.detection,
                    chunk=2 * recipe.batch_size,
                    ids=[r.id for r in records],
                )
            )
    rows = pd.concat(found, ignore_index=True)
    rows["class"] += 1
    return rows, _document(rows, explained, maps, trained.seed)


def _document(
    rows: pd.DataFrame, explained: MapReader, maps: Sequence[Path], seed: int
) -> dict[str, Any]:
    about = explained.header.extra or {}
    table = aggregate(rows) / 100
    values = {short: table.loc["micro", name] for short, name in _SHORT.items()}
    values |= {f"macro_{short}": table.loc["macro", name] for short, name in _SHORT.items()}
    for name in ("ado", "aro"):
        values[f"{name}_multi"] = table.loc["micro", f"{_SHORT[name]}_multi"]
    values["f1_of_ar_ado"] = table.loc["macro", "f1_retention_drop_of_others"]
    values["f1_of_ad_aro"] = table.loc["macro", "f1_drop_retention_of_others"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "evaluated": {
            "kind": "explanations",
            "files": [str(path) for path in maps],
            "made_by": explained.header.source(),
        },
        "ground_truth": "the classifier's own detections",
        "split": explained.header.split,
        "images": len(explained),
        "detections": len(rows),
        "classes": list(explained.header.classes),
        "threshold": {"value": None, "how": "none: soft maps", "source": None},
        "tta": about.get("tta"),
        "crf": None,
        "image_labels": about.get("image_labels"),
        "seed": seed,
        "commit": commit(),
        "recipe": None,
        "metrics": {name: _number(value) for name, value in values.items()},
        "every": json.loads(table.to_json(orient="index", double_precision=15)),
        "fixed": None,
        "curve": None,
    }


def one_line(read: dict[str, Any]) -> str:
    """The five metrics in %, for the log."""
    values = {name.upper(): read["metrics"][name] for name in _SHORT}
    shown = ", ".join(
        f"{name} {'–' if value is None else f'{100 * value:.1f}'}" for name, value in values.items()
    )
    return f"{shown} over {read['detections']} detections in {read['images']} images"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
