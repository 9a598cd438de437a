"""Typed recipes: the pydantic base class and canonical JSON."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from wsss.core.errors import UserError
from wsss.core.mistakes import error_lines

R = TypeVar("R", bound="Recipe")


class Recipe(BaseModel):
    """Base class of every recipe: unknown keys are errors, values fixed, strictly typed, finite.

    Subclasses are plain pydantic models. A field's `description` becomes the schema's.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )

    def to_json(self) -> str:
        """Canonical JSON: every field with its default filled in, sorted keys, no blanks."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls: type[R], text: str) -> R:
        """The inverse of `to_json`; also takes hand-written JSON with some fields left out.

        Raises UserError with one line per mistake.
        """
        return parse_json(text, cls)


def parse_json(text: str, annotation: Any) -> Any:
    """The recipe that JSON describes: of one model, or of the one in a union that its tag names.

    Raises UserError with one line per mistake.
    """
    try:
        return TypeAdapter(annotation).validate_json(text)
    except ValidationError as error:
        lines = [line for _, line in error_lines(error, annotation)]
        raise UserError("\n".join(f"--recipe: {line}" for line in lines)) from None


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks, so that key order never looks like a change."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
