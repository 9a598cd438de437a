"""Footnotes of a table: what must be known to compare its numbers with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wsss.core.maps import SALIENT
from wsss.core.metrics import find_metric
from wsss.core.outputs import CLASSIFIER, MASKS, kind_of
from wsss.report.recipe import Column, TableRecipe

Evaluation = dict[str, Any]
Cells = Sequence[Sequence[Evaluation]]  # of a column: row → seed


def metric_notes(
    recipe: TableRecipe,
    columns: Sequence[Column],
    read: Sequence[Sequence[Sequence[Evaluation]]],
    seeds: Sequence[int],
) -> list[str]:
    """One sentence per line. read[row][column] are the evaluations of a cell, one per seed."""
    shown = {column: [row[i] for row in read] for i, column in enumerate(columns)}
    names, over = list(dict.fromkeys(_note(column) for column in columns)), _spread(seeds)
    what = f"{names[0]} in %{over}" if len(names) == 1 else f"In %{over}: {'; '.join(names)}"
    notes = [f"{what}.{_reading(recipe)}"]
    files = {column.file: cells for column, cells in shown.items()}
    masks = {file: cells for file, cells in files.items() if kind_of(file) == MASKS}
    maps = {file: cells for file, cells in files.items() if file != CLASSIFIER}
    properties: list[tuple[str, dict[str, Cells], Callable[[Evaluation], str]]] = [
        ("Split", files, lambda e: e["split"] or "not stated"),
        ("images", files, lambda e: str(e["images"])),
        ("image labels", maps, lambda e: e["image_labels"] or "not stated"),
        ("TTA", maps, _tta),
        ("CRF", masks, _crf),
        ("percentile", _localizations(files), _percentile),
        ("threshold", _at_chosen_threshold(shown), lambda e: e["threshold"]["how"]),
        (
            "fixed threshold",
            _at_fixed_threshold(shown),
            lambda e: f"{e['fixed']['threshold']:g}, not tuned",
        ),
    ]
    stated = [_compare(name, of, recipe.experiments, cells) for name, cells, of in properties]
    if any(stated):
        notes.append("; ".join(text for text in stated if text) + ".")
    notes += _threshold_values(_at_chosen_threshold(shown))
    every = [e for cells in files.values() for cell in cells for e in cell]
    without = {name for e in every for name in e.get("classes_without_image", ())}
    if without:
        notes.append(f"Classification without classes that no image shows: {_list(without)}.")
    if any(e["recipe"] and e["recipe"]["predicted_ignore"] == "background" for e in every):
        notes.append("Predictions of 255 count as background.")
    skipping = {f for f, cells in masks.items() if _any(cells, _leaves_pixels_out)}
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
    """One sentence per line."""
    return [
        f"Wall-clock seconds of the stages' jobs, added up{_spread(seeds)}.{_reading(recipe)}",
        "Peak memory is the largest resident set of one job.",
    ]


def _note(column: Column) -> str:
    return find_metric(kind_of(column.file), column.metric).note


def _at_chosen_threshold(shown: dict[Column, Cells]) -> dict[str, Cells]:
    """Files of masks that are shown at the threshold that was chosen for them."""
    return {
        column.file: cells
        for column, cells in shown.items()
        if kind_of(column.file) == MASKS and find_metric(MASKS, column.metric).at_threshold
    }


def _localizations(files: dict[str, Cells]) -> dict[str, Cells]:
    return {file: cells for file, cells in files.items() if file == "localization"}


def _percentile(evaluation: Evaluation) -> str:
    percentile = evaluation.get("percentile")
    if percentile is None:
        return "not stated"
    return f"{percentile['value']:g} {percentile['how']}"


def _at_fixed_threshold(shown: dict[Column, Cells]) -> dict[str, Cells]:
    """Files that are shown at a fixed threshold, the evaluations without one left out."""
    return {
        column.file: [[e for e in cell if e["fixed"]] for cell in cells]
        for column, cells in shown.items()
        if column.metric == "fixed_miou"
    }


def _any(cells: Cells, is_so: Callable[[Evaluation], bool]) -> bool:
    return any(is_so(e) for cell in cells for e in cell)


def _leaves_pixels_out(evaluation: Evaluation) -> bool:
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
