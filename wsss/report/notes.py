"""Footnotes of a table: what must be known to compare its numbers with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wsss.report.recipe import TableRecipe

Evaluation = dict[str, Any]

NAMES = {
    "miou": "mIoU",
    "fixed_miou": "mIoU at a fixed threshold",
    "miou_foreground": "mIoU of the foreground",
    "fp": "over-activation (FP of the foreground; lower is better)",
    "fn": "under-activation (FN of the foreground; lower is better)",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "pixel_accuracy": "pixel accuracy",
}


def metric_notes(
    recipe: TableRecipe, read: Sequence[Sequence[Sequence[Evaluation]]], seeds: Sequence[int]
) -> list[str]:
    """One sentence a line. read[row][column] are the evaluations of a cell, one a seed."""
    notes = [f"{NAMES[recipe.metric]} in %{_spread(seeds)}.{_reading(recipe)}"]
    properties: list[tuple[str, Callable[[Evaluation], str]]] = [
        ("Split", lambda e: e["split"] or "not stated"),
        ("images", lambda e: str(e["images"])),
        ("image labels", lambda e: e["image_labels"] or "not stated"),
        ("TTA", _tta),
        ("CRF", _crf),
    ]
    if recipe.metric == "fixed_miou":
        properties.append(("threshold", lambda e: f"{e['fixed']['threshold']:g}, not tuned"))
        read = [[[e for e in cell if e["fixed"]] for cell in row] for row in read]
    else:
        properties.append(("threshold", lambda e: e["threshold"]["how"]))
    stated = [_compare(name, of, recipe, read) for name, of in properties]
    notes.append("; ".join(text for text in stated if text) + ".")
    if recipe.metric != "fixed_miou":
        notes += _threshold_values(recipe, read)
    every = [e for row in read for cell in row for e in cell]
    if any(e["recipe"]["predicted_ignore"] == "background" for e in every):
        notes.append("Predictions of 255 count as background.")
    commits = sorted({e["commit"] for e in every})
    if len(commits) > 1:
        notes.append(f"Commits differ: {', '.join(commits)}.")
    elif commits:
        notes.append(f"Commit {commits[0]}.")
    return notes


def seconds_notes(recipe: TableRecipe, seeds: Sequence[int]) -> list[str]:
    """One sentence a line."""
    return [
        f"Wall-clock seconds of the stages' jobs, added up{_spread(seeds)}.{_reading(recipe)}",
        "Peak memory is the largest resident set of one job.",
    ]


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
    name: str,
    of: Callable[[Evaluation], str],
    recipe: TableRecipe,
    read: Sequence[Sequence[Sequence[Evaluation]]],
) -> str:
    """The property where it is one for the table; else by column, and by row where rows differ."""
    values = [[sorted({of(e) for e in cell}) for cell in row] for row in read]
    every = {value for row in values for cell in row for value in cell}
    if len(every) < 2:
        return f"{name}: {every.pop()}" if every else ""
    parts = []
    for i, column in enumerate(recipe.columns):
        here = sorted({value for row in values for value in row[i]})
        if len(here) == 1:
            parts.append(f"{column} {here[0]}")
        elif here:
            rows = []
            for value in here:
                names = zip(recipe.experiments, values, strict=True)
                with_it = ", ".join(name for name, row in names if value in row[i])
                rows.append(f"{with_it} {value}")
            parts.append(f"{column} differs between rows ({' / '.join(rows)})")
    return f"{name}: {', '.join(parts)}"


def _threshold_values(
    recipe: TableRecipe, read: Sequence[Sequence[Sequence[Evaluation]]]
) -> list[str]:
    parts = []
    for i, column in enumerate(recipe.columns):
        values = {e["threshold"]["value"] for row in read for e in row[i]} - {None}
        if values:
            low, high = f"{min(values):g}", f"{max(values):g}"
            parts.append(f"{column} {low if low == high else f'{low} to {high}'}")
    return [f"Thresholds: {', '.join(parts)}."] if parts else []
