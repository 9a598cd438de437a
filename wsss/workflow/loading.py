"""From plain data, as YAML gives it, to a checked configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wsss.core.configfile import locate, merge_used, numbers, read_yaml, resolve
from wsss.core.errors import UserError
from wsss.core.mistakes import did_you_mean, error_lines
from wsss.core.recipe import canonical_json
from wsss.workflow.checks import cross_check
from wsss.workflow.config import NAMED, Config
from wsss.workflow.tree import RESERVED

NAME = re.compile(r"[a-z0-9][a-z0-9+-]*")


def parse(data: dict[str, Any], files: Iterable[Path | str] = ()) -> Config:
    """Check plain data (as YAML gives it) and build the Config.

    Raises UserError with one line per mistake, each with the file and line where the key stands
    if it stands in one of `files`, and one for a key that such a file writes twice.
    """
    files = [Path(f) for f in files]
    for file in files:
        read_yaml(file)  # Snakemake, which gave `data`, keeps the last of two keys silently
    data = numbers(data)
    data, listed = merge_used(data, "config"), data.get("use") or []
    used = [Path(item) for item in listed]
    problems: list[tuple[tuple[str, ...], str]] = []
    built: dict[str, Any] = {}
    for key, value in data.items():
        if key not in Config.model_fields:
            hint = did_you_mean(key, list(Config.model_fields))
            problems.append(((key,), f"{key}: unknown section{hint}"))
        elif key in NAMED:
            if not isinstance(value, dict):
                problems.append(((key,), f"{key}: expected named recipes"))
                continue
            built[key] = {}
            for name in value:
                recipe = _recipe(data, key, name, problems)
                if recipe is not None:
                    built[key][name] = recipe
        else:
            built[key] = value
    if not problems:
        try:
            config = Config.model_validate_json(canonical_json(built))
        except ValidationError as error:
            problems += error_lines(error, Config)
        else:
            problems += list(cross_check(config))
            if not problems:
                return config
    lines = []
    for path, message in problems:
        place = locate([*files, *used], path)
        lines.append(f"{place + ': ' if place else ''}{message}")
    raise UserError("\n".join(lines))


def _recipe(data: dict, section: str, name: Any, problems: list) -> dict[str, Any] | None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        rule = "lower-case letters, digits, - and + (it names a folder)"
        problems.append(((section, str(name)), f"{section}.{name}: not a name; use {rule}"))
        return None
    if name in RESERVED:
        problems.append(
            ((section, name), f"{section}.{name}: the name is reserved; choose another")
        )
        return None
    try:
        plain = resolve(data, section, name)
    except UserError as error:
        problems.append(((section, name, "extends"), str(error)))
        return None
    annotation = Config.model_fields[section].annotation.__args__[1]
    try:
        TypeAdapter(annotation).validate_json(canonical_json(plain))
    except ValidationError as error:
        for path, message in error_lines(error, annotation):
            dot = "." if path else ": "
            problems.append(((section, name, *path), f"{section}.{name}{dot}{message}"))
        return None
    return plain
