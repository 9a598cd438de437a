"""Footnotes of a table: what must be known to compare its numbers with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wsss.core.maps import SALIENT
from wsss.report.recipe import CLASSIFIER, WITHOUT_MASKS, Column, TableRecipe

Evaluation = dict[str, Any]
Cells = Sequence[Sequence[Evaluation]]  # of a column: row → seed

NAMES = {
    "miou": "mIoU",
    "fixed_miou": "mIoU at a fixed threshold",
    "miou_foreground": "mIoU of the foreground",
    "fp": "over-activation (FP of the foreground, lower is better)",
    "fn": "under-activation (FN of the foreground, lower is better)",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "pixel_accuracy": "pixel accuracy",
    "mae": "mean absolute error of saliency (lower is better)",
    "f_beta": "F-measure of saliency, with 0.3 for the square of beta, at its best threshold",
    "s_measure": "S-measure of saliency",
    "labelled": "share of pixels with an affinity label",
    "ic": "IC: detections that masking by their map makes surer",
    "ad": "AD: average drop of the class where the image is masked by its map (lower is better)",
    "ar": "AR: average drop of the class where its map is masked out",
    "ado": "ADO: average drop of the other detected classes where the image is masked by the map",
    "aro": "ARO: average drop of the others where the map is masked out (lower is better)",
    "ado_multi": "ADO in images with two or more detections",
    "aro_multi": "ARO in images with two or more detections (lower is better)",
    "f1_of_ar_ado": "harmonic mean of AR and ADO by class",
    "f1_of_ad_aro": "harmonic mean of AD and ARO by class (lower is better)",
    "deletion": "deletion: area under the probability as the map's highest pixels go first (lower "
    "is better)",
    "insertion": "insertion: area under the probability as the map's highest pixels come first",
    "max_box_acc": "MaxBoxAcc: largest box at IoU 0.5, at the best threshold",
    "max_box_acc_v2": "MaxBoxAccV2: any box at IoU 0.3, 0.5, 0.7, each at its best threshold",
    "pxap": "PxAP: average precision of pixels",
    "peak_iou": "IoU of the foreground, all images pooled, at its best threshold",
    "peak_iou_threshold": "that threshold, times 100",
    "pointing": "pointing game: highest pixel on the object or near it, mean over classes",
}


# Shown at a threshold that nobody chose for the file, at the best one, or at none.
WITHOUT_THRESHOLD = ("fixed_miou", "mae", "f_beta", "s_measure")

IMAGE_LEVEL = {
    "f1": "F1",
    "f2": "F2",
    "map": "mean average precision",
    "precision": "precision",
    "recall": "recall",
}


def metric_notes(
    recipe: TableRecipe,
    columns: Sequence[Column],
    read: Sequence[Sequence[Sequence[Evaluation]]],
    seeds: Sequence[int],
) -> list[str]:
    """One sentence a line. read[row][column] are the evaluations of a cell, one a seed."""
    shown = {column: [row[i] for row in read] for i, column in enumerate(columns)}
    names, over = list(dict.fromkeys(_name(column) for column in columns)), _spread(seeds)
    what = f"{names[0]} in %{over}" if len(names) == 1 else f"In %{over}: {'; '.join(names)}"
    notes = [f"{what}.{_reading(recipe)}"]
    files = {column.file: cells for column, cells in shown.items()}
    masks = {file: cells for file, cells in files.items() if file not in WITHOUT_MASKS}
    maps = {file: cells for file, cells in files.items() if file != CLASSIFIER}
    properties: list[tuple[str, dict[str, Cells], Callable[[Evaluation], str]]] = [
        ("Split", files, lambda e: e["split"] or "not stated"),
        ("images", files, lambda e: str(e["images"])),
        ("image labels", maps, lambda e: e["image_labels"] or "not stated"),
        ("TTA", maps, _tta),
        ("CRF", masks, _crf),
        ("percentile", _localized(files), _percentile),
        ("threshold", _tuned(shown), lambda e: e["threshold"]["how"]),
        ("fixed threshold", _fixed(shown), lambda e: f"{e['fixed']['threshold']:g}, not tuned"),
    ]
    stated = [_compare(name, of, recipe.experiments, cells) for name, cells, of in properties]
    if any(stated):
        notes.append("; ".join(text for text in stated if text) + ".")
    notes += _threshold_values(_tuned(shown))
    every = [e for cells in files.values() for cell in cells for e in cell]
    without = {name for e in every for name in e.get("classes_without_image", ())}
    if without:
        notes.append(f"Classification without classes that no image shows: {_list(without)}.")
    if any(e["recipe"] and e["recipe"]["predicted_ignore"] == "background" for e in every):
        notes.append("Predictions of 255 count as background.")
    skipping = {f for f, cells in masks.items() if _any(cells, _skips)}
    if skipping:
        notes.append(f"{_list(skipping)}: on the pixels that have a label.")
    agnostic = {f for f, cells in masks.items() if _any(cells, _is_agnostic)}
    if agnostic:
        notes.append(f"{_list(agnostic)}: salient or not, with every class as one.")
    commits = {e["commit"] for e in every}
    if len(commits) > 1:
        notes.append(f"Commits differ: {_list(commits)}.")
    elif commits:
        notes.append(f"Commit {_list(commits)}.")
    return notes


def unjudged_notes(rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Why cells are blank whose files are made: rows[row] are such columns. One sentence, or none.

    Class maps take their threshold from train, so that val's cells need train's masks too.
    """
    columns = dict.fromkeys(column for unjudged in rows.values() for column in unjudged)
    parts = []
    for column in columns:
        without = [row for row, unjudged in rows.items() if column in unjudged]
        parts.append(column if len(without) == len(rows) else f"{column} ({', '.join(without)})")
    if not parts:
        return []
    why = "its data set has none for the split, or none of train, where thresholds are chosen"
    return [f"–: no masks judge {', '.join(parts)}: {why}."]


def seconds_notes(recipe: TableRecipe, seeds: Sequence[int]) -> list[str]:
    """One sentence a line."""
    return [
        f"Wall-clock seconds of the stages' jobs, added up{_spread(seeds)}.{_reading(recipe)}",
        "Peak memory is the largest resident set of one job.",
    ]


def _name(column: Column) -> str:
    if column.file != CLASSIFIER:
        macro = column.metric.removeprefix("macro_")
        if macro != column.metric:
            return f"macro {macro.upper()}: mean over classes"
        return NAMES[column.metric]
    if column.metric in IMAGE_LEVEL:
        means = IMAGE_LEVEL[column.metric]
        return f"{CLASSIFIER}: {means} of image-level labels, macro over classes"
    return {
        "micro_f1": f"{CLASSIFIER}: F1 over all labels of all images",
        "exact_match": f"{CLASSIFIER}: images whose every label is right",
    }[column.metric]


def _tuned(shown: dict[Column, Cells]) -> dict[str, Cells]:
    """Files of masks that are shown at the threshold that was chosen for them."""
    return {
        column.file: cells
        for column, cells in shown.items()
        if column.file not in WITHOUT_MASKS and column.metric not in WITHOUT_THRESHOLD
    }


def _localized(files: dict[str, Cells]) -> dict[str, Cells]:
    return {file: cells for file, cells in files.items() if file == "localization"}


def _percentile(evaluation: Evaluation) -> str:
    percentile = evaluation.get("percentile")
    if percentile is None:
        return "not stated"
    return f"{percentile['value']:g} {percentile['how']}"


def _fixed(shown: dict[Column, Cells]) -> dict[str, Cells]:
    """Files that are shown at a fixed threshold, the evaluations without one left out."""
    return {
        column.file: [[e for e in cell if e["fixed"]] for cell in cells]
        for column, cells in shown.items()
        if column.metric == "fixed_miou"
    }


def _any(cells: Cells, is_so: Callable[[Evaluation], bool]) -> bool:
    return any(is_so(e) for cell in cells for e in cell)


def _skips(evaluation: Evaluation) -> bool:
    return "labelled" in evaluation["metrics"]


def _is_agnostic(evaluation: Evaluation) -> bool:
    return list(evaluation.get("classes", ())) == ["background", *SALIENT]


def _list(words: set[str]) -> str:
    return ", ".join(sorted(words))


def _spread(seeds: Sequence[int]) -> str:
    counts = {n for n in seeds if n}
    if not counts or counts == {1}:
        return ", one seed"
    if len(counts) == 1:
        return f", mean ± standard deviation over {counts.pop()} seeds"
    return ", mean ± standard deviation over n seeds"


def _reading(recipe: TableRecipe) -> str:
    bold = " Bold: best of the column."
    if recipe.baseline is None:
        return bold
    return f"{bold} In brackets: difference to {recipe.baseline}."


def _tta(evaluation: Evaluation) -> str:
    tta = evaluation["tta"]
    if tta is None:
        return "not stated"
    scales = ", ".join(f"{scale:g}" for scale in tta["scales"])
    return f"scales {scales}{' and flip' if tta['flip'] else ''}"


def _crf(evaluation: Evaluation) -> str:
    crf = evaluation["crf"]
    return f"{crf['preset'] or 'own kernels'}, {crf['steps']} steps" if crf else "none"


def _compare(
    name: str, of: Callable[[Evaluation], str], rows: Sequence[str], columns: dict[str, Cells]
) -> str:
    """The property where it is one for the table; else by column, and by row where rows differ."""
    values = {
        column: [{of(e) for e in cell} for cell in cells] for column, cells in columns.items()
    }
    every = {value for cells in values.values() for cell in cells for value in cell}
    if len(every) < 2:
        return f"{name}: {every.pop()}" if every else ""
    parts = []
    for column, cells in values.items():
        here = sorted({value for cell in cells for value in cell})
        if len(here) == 1:
            parts.append(f"{column} {here[0]}")
        elif here:
            differing = []
            for value in here:
                with_it = [row for row, cell in zip(rows, cells, strict=True) if value in cell]
                differing.append(f"{', '.join(with_it)} {value}")
            parts.append(f"{column} differs between rows ({' / '.join(differing)})")
    return f"{name}: {', '.join(parts)}"


def _threshold_values(columns: dict[str, Cells]) -> list[str]:
    parts = []
    for column, cells in columns.items():
        values = {e["threshold"]["value"] for cell in cells for e in cell} - {None}
        if values:
            low, high = f"{min(values):g}", f"{max(values):g}"
            parts.append(f"{column} {low if low == high else f'{low} to {high}'}")
    return [f"Thresholds: {', '.join(parts)}."] if parts else []
