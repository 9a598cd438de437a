"""What can be wrong with a data set: kinds of problems, collected and grouped."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from wsss.core.errors import UserError

Finding = tuple[str, str, str]  # kind, where, what

# Kind → what to do about it. Only errors stop `prepare_images` and `prepare_masks`.
ERRORS = {
    "missing file": "correct the recipe, or put the file there",
    "empty list": "write one image id per line",
    "duplicate id": "keep each id once, and one file per id",
    "overlapping splits": "no image may be trained and evaluated on: keep it in one list",
    "missing image": "put a .jpg, .jpeg or .png there, or take the id off the list",
    "unreadable image": "replace the file, or set skip_unreadable",
    "missing labels": "add the id, with no class where there is none, or take it off the list",
    "unreadable labels": "correct the labels file, or replace the XML file",
    "unknown class": "correct the spelling, or add the class to the recipe",
    "class without images": "no classifier can learn it: add images, or drop the class",
    "missing mask": "put <id>.png there, or take the id off val's list or the train masks' list",
    "unreadable mask": "replace the file; a mask is an index, grey, palette or VOC-coloured PNG",
    "size mismatch": "image and mask must have the same height and width; EXIF rotation is ignored",
    "value outside the classes": "masks hold class ids from 0 (background) on, and 255 for ignored",
    "unknown colour": "use the VOC palette, or index PNGs; anti-aliased masks cannot be read",
}
WARNINGS = {
    "masks not used": "name their folder, `masks: masks`; without it nothing is evaluated",
    "train masks without a list": "name them in a file and that file in train_masks_list; else no "
    "threshold is chosen on train, and the columns cam and walk have no evaluation",
    "id outside the split": "add the id to the split's list, or take it off the list of masks",
    "no image to evaluate": "its IoU is undefined on this split",
    "mask without classes": "0 and 255 alone: 255 is ignored; a two-class mask holds 0 and 1",
    "in the mask, not in the labels": "the classifier learns that the class is absent",
    "in the labels, not in the mask": "the object is ignored (255), tiny, or was not annotated",
}
# What published data has for good reasons is a mistake in a folder of one's own.
FOLDER_ERRORS = ("id outside the split", "in the mask, not in the labels")


@dataclass(frozen=True)
class Problem:
    """All problems of one kind in one place. examples: the first few, "id: what is wrong"."""

    kind: str
    severity: Literal["error", "warning"]
    where: str
    count: int
    examples: tuple[str, ...]
    remedy: str


class Findings:
    """Collects problems as they are met; keeps a number and the first `examples` of each kind.

    errors: the kinds of warnings that are errors here.
    """

    def __init__(self, examples: int = 5, errors: Collection[str] = ()):
        self._examples = examples
        self._errors = {*ERRORS, *errors}
        self._counts: dict[tuple[str, str], int] = {}
        self._first: dict[tuple[str, str], list[str]] = {}

    def add(self, kind: str, where: str, what: str) -> None:
        """One more problem of a known kind, e.g. ("missing image", "train", "2007_000032: …")."""
        key = (kind, where)
        self._counts[key] = self._counts.get(key, 0) + 1
        first = self._first.setdefault(key, [])
        if len(first) < self._examples:
            first.append(what)

    def problems(self) -> list[Problem]:
        """One Problem per kind and place, errors first, in the order of the tables above."""
        order = [*ERRORS, *WARNINGS]
        order.sort(key=lambda kind: kind not in self._errors)
        found = []
        for kind, where in sorted(self._counts, key=lambda key: (order.index(key[0]), key[1])):
            severity = "error" if kind in self._errors else "warning"
            remedy = ERRORS.get(kind) or WARNINGS[kind]
            examples = tuple(self._first[kind, where])
            count = self._counts[kind, where]
            found.append(Problem(kind, severity, where, count, examples, remedy))
        return found

    def raise_errors(self) -> None:
        """UserError with one line an error kind, if there is any."""
        lines = [
            f"{p.where}: {p.kind}, {p.count} times: {'; '.join(p.examples)}"
            f"{'; …' if p.count > len(p.examples) else ''} ({p.remedy})"
            for p in self.problems()
            if p.severity == "error"
        ]
        if lines:
            raise UserError("\n".join(lines))


def size_mismatch(name: str, mask: tuple[int, ...], image: tuple[int, int]) -> str:
    """The line about a mask that does not fit its image; sizes are (H, W)."""
    return f"{name}: mask {mask[0]}×{mask[1]}, image {image[0]}×{image[1]} (height × width)"
