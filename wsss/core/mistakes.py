"""A mistake in a recipe as one line, and the word that was probably meant."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def did_you_mean(word: str, known: list[str]) -> str:
    """`" (did you mean 'x'?)"` or, with no near match, the known words."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(sorted(known))})" if known else ""


def error_lines(error: ValidationError, model: Any) -> list[tuple[tuple[str, ...], str]]:
    """Turn a pydantic error on `model` (or a union of models) into (path, line) pairs.

    A line reads "path: what is wrong (what to do)".
    """
    lines = []
    for item in error.errors():
        unknown = item["type"] == "extra_forbidden"
        path, fields, members = _user_path(item["loc"], model, unknown)
        message = item["msg"].removeprefix("Value error, ")
        if unknown:
            message = f"unknown key{did_you_mean(path[-1], fields)}"
        elif item["type"] == "missing":
            message = "missing; give it a value"
        elif item["type"] in ("union_tag_not_found", "union_tag_invalid"):
            key = item["ctx"]["discriminator"].strip("'")
            path = (*path, key)
            message = _wrong_tag(item["ctx"].get("tag"), _literals(members, key))
        elif not isinstance(item.get("input"), dict | list | BaseModel):
            message = f"{message[0].lower()}{message[1:]}, got {item['input']!r}"
        lines.append((path, f"{'.'.join(path)}: {message}" if path else message))
    return lines


def _wrong_tag(tag: str | None, known: list[str]) -> str:
    if tag is None:
        return f"missing; give {' or '.join(known)}"
    near = difflib.get_close_matches(tag, known, n=1, cutoff=0.6)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"'{tag}' is none of {', '.join(known)}{hint}"


def _literals(members: list[type[BaseModel]], key: str) -> list[str]:
    """The words that `key` takes in these models, in their order."""
    annotations = [m.model_fields[key].annotation for m in members if key in m.model_fields]
    return [word for annotation in annotations for word in get_args(annotation)]


def _user_path(
    loc: tuple, model: Any, ends_in_key: bool
) -> tuple[tuple[str, ...], list[str], list[type[BaseModel]]]:
    """`loc` without pydantic's union tags, the keys known where its last part stands, and the
    models that may stand below it.

    ends_in_key: its last part is a key of the user's, though it may be spelled like a tag.
    """
    path: list[str] = []
    members = _models(model)
    fields: list[str] = []
    for i, part in enumerate(map(str, loc)):
        fields = sorted({name for member in members for name in member.model_fields})
        key = part in fields or (ends_in_key and i == len(loc) - 1)
        if not key and part in _tags(members):
            members = [m for m in members if part in _tags([m])]
            continue
        path.append(part)
        below = [
            m
            for member in members
            if part in member.model_fields
            for m in _models(member.model_fields[part].annotation)
        ]
        members = below or members
    return tuple(path), fields, members


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _tags(members: list[type[BaseModel]]) -> set[str]:
    literals = [get_args(f.annotation) for m in members for f in m.model_fields.values()]
    return {a for values in literals for a in values if isinstance(a, str)} | {
        m.__name__ for m in members
    }
