"""What the workflow passes to the report commands: a recipe, and the files it stands for."""

from __future__ import annotations

import base64
import bz2
import shlex
import sys
from typing import Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from wsss.core.errors import UserError
from wsss.core.mistakes import error_lines
from wsss.core.outputs import THRESHOLDED
from wsss.core.recipe import Recipe
from wsss.report.recipe import GalleryRecipe, TableRecipe

S = TypeVar("S", bound=Recipe)

# Linux takes 131,072 bytes as one argument, which the whole command of a rule is.
_LONGEST = 100_000
_PACKED = "bz2:"


class TableRow(Recipe):
    """An experiment. cells[column] has an entry for each seed.

    Entries are paths of evaluation JSON files; for kind seconds each is the list of the benchmark
    files (TSV, as Snakemake writes them) of the stage's jobs. unjudged: columns without an entry
    though their file is made, because no masks judge it.
    """

    name: str
    cells: dict[str, list[str | list[str]]] = Field(default={})
    unjudged: list[str] = Field(default=[])


class TableSpec(Recipe):
    """A table's recipe and the files of its cells; an absent cell stays blank."""

    recipe: TableRecipe
    rows: list[TableRow]

    @model_validator(mode="after")
    def _check_consistency(self) -> TableSpec:
        names = [row.name for row in self.rows]
        if names != self.recipe.experiments:
            raise ValueError(f"rows {names} are not the recipe's experiments, in their order")
        entry = str if self.recipe.kind == "metrics" else list
        for row in self.rows:
            for column, entries in row.cells.items():
                if column not in self.recipe.columns:
                    raise ValueError(f"row '{row.name}': '{column}' is none of the columns")
                if not all(isinstance(item, entry) for item in entries):
                    expected = "a path" if entry is str else "a list of paths"
                    raise ValueError(f"row '{row.name}', '{column}': give {expected} for each seed")
        return self


class CurveRow(Recipe):
    """An experiment. files["cam"], …: the evaluations of these maps, one per seed."""

    name: str
    files: dict[Literal[THRESHOLDED], list[str]] = Field(default={})


class CurvesSpec(Recipe):
    """A table's recipe, and the evaluations of maps that its curves are read from."""

    recipe: TableRecipe
    rows: list[CurveRow] = Field(min_length=1)


class GalleryColumn(Recipe):
    """A maps or masks file (or its shards), drawn over the image.

    threshold: the background score whose outline is drawn on maps; or threshold_from: the
    evaluation JSON whose reported threshold is taken. above: maps are drawn as the mask of what
    reaches this score, as hints are.
    """

    title: str
    file: str | list[str]
    threshold: float | None = None
    threshold_from: str | None = None
    above: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _one_threshold(self) -> GalleryColumn:
        if self.threshold is not None and self.threshold_from is not None:
            raise ValueError("threshold and threshold_from: give one of them")
        return self


class GallerySpec(Recipe):
    """A gallery's recipe, the images file, ground truth where there is any, and the columns."""

    recipe: GalleryRecipe
    images: str
    ground_truth: str | None = None
    columns: list[GalleryColumn] = Field(default=[])


def pack(text: str) -> str:
    """A spec's JSON as a command can hold it: as it is, or compressed where it is long.

    The paths of a study are so alike that 30,000 of them fit.
    """
    if len(shlex.quote(text).encode()) <= _LONGEST:
        return text
    return _PACKED + base64.b64encode(bz2.compress(text.encode())).decode()


def parse(text: str, spec: type[S]) -> S:
    """A spec from JSON, also `pack`, which standard input holds for "-".

    Raises UserError with one line per mistake.
    """
    text = sys.stdin.read() if text == "-" else text
    try:
        if text.startswith(_PACKED):
            text = bz2.decompress(
                base64.b64decode(text.removeprefix(_PACKED), validate=True)
            ).decode()
        return spec.model_validate_json(text)
    except ValidationError as error:
        lines = [f"--spec: {line}" for _, line in error_lines(error, spec)]
        raise UserError("\n".join(lines)) from None
    except (ValueError, OSError) as error:
        raise UserError(f"--spec: no base64 of bz2 after {_PACKED} ({error})") from None
