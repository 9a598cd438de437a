"""Every problem of a data set at once, grouped by kind."""

from __future__ import annotations

from wsss.data.problems import WARNINGS, Findings, Problem
from wsss.data.recipe import Data


def find_problems(
    recipe: Data, workers: int = 1, examples: int = 5, strict: bool = False
) -> list[Problem]:
    """All problems of both splits, errors first, each kind with its count and first examples.

    Opens every image and every mask once, in `workers` processes. What makes further checks
    impossible (no root, no list, no labels) is reported as "missing file". Nothing is written.
    strict: warnings count as errors.
    """
    findings = Findings(examples, WARNINGS if strict else recipe.errors)
    recipe.check(findings, workers)
    return findings.problems()
