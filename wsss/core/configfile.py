"""Configuration files as plain data: `use`, `extends`, numbers, and the line where a key stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from wsss.core.errors import UserError
from wsss.core.mistakes import did_you_mean

# YAML 1.1 reads 1e-3 as a string; every reader takes it for a number.
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
_STRING, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def read_recipe(files: Iterable[Path], section: str, name: str) -> dict[str, Any]:
    """One recipe of one section of the given configuration files, `extends` resolved."""
    return resolve(load(files), section, name)


def load(files: Iterable[Path]) -> dict[str, Any]:
    """Read the files, later over earlier recipe by recipe, and what they `use` below them."""
    merged: dict[str, Any] = {}
    for path in files:
        merged = overlay(merged, merge_used(read_yaml(Path(path)), str(path)))
    return merged


def merge_used(data: dict[str, Any], where: str) -> dict[str, Any]:
    """`data` laid over the recipe files that its key `use` names, from the working folder."""
    used: dict[str, Any] = {}
    listed = data.get("use") or []
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise UserError(f"{where}: use: give a list of recipe files, like [recipes/voc12.yaml]")
    for item in listed:
        path = Path(item)
        if not path.is_file():
            raise UserError(f"{where}: use: no file '{item}' (paths start at the working folder)")
        used = overlay(used, merge_used(read_yaml(path), item))
    return numbers(overlay(used, {k: v for k, v in data.items() if k != "use"}))


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge section by section; a recipe in `above` replaces the whole recipe of the same name."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def resolve(data: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    """The recipe `section.name` with its `extends` chain merged in, nested keys one by one."""
    recipes = data.get(section) or {}
    chain: list[str] = []
    layers: list[dict[str, Any]] = []
    while True:
        if name in chain:
            raise UserError(
                f"{section}.{chain[-1]}: extends runs in a circle: {' -> '.join([*chain, name])}"
            )
        if not isinstance(recipes, dict) or name not in recipes:
            by = f"{section}.{chain[-1]}: extends: " if chain else ""
            known = list(recipes) if isinstance(recipes, dict) else []
            raise UserError(
                f"{by}no recipe '{name}' in section {section}{did_you_mean(name, known)}"
            )
        recipe = recipes[name]
        if not isinstance(recipe, dict):
            raise UserError(f"{section}.{name}: expected keys and values, got {recipe!r}")
        chain.append(name)
        layers.append({k: v for k, v in recipe.items() if k != "extends"})
        if "extends" not in recipe:
            break
        name = recipe["extends"]
        if not isinstance(name, str):
            raise UserError(
                f"{section}.{chain[-1]}: extends: give the name of one recipe, got {name!r}"
            )
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = _deep(merged, layer)
    return merged


def _deep(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep(merged[key], value) if both else value
    return merged


def numbers(value: Any, at: str = "") -> Any:
    """Strings that read like 1e-3 as floats, everywhere in nested data.

    Raises UserError, with the keys that lead there, for what is not JSON: a date, a number as key.
    """
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UserError(f"{at or 'config'}: key {key!r} is not text; quote it: '{key}'")
        return {key: numbers(item, f"{at}.{key}" if at else key) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item, f"{at}.{i}") for i, item in enumerate(value)]
    if value is not None and not isinstance(value, str | int | float):
        raise UserError(
            f"{at}: a {type(value).__name__} is neither text nor number; quote it: '{value}'"
        )
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def locate(files: Iterable[Path], path: tuple[str, ...]) -> str:
    """ "file:line" of the deepest part of `path` that one of the files writes, or ""."""
    best, depth = "", 0
    for file in files:
        try:
            node = yaml.compose(Path(file).read_text(), Loader=yaml.SafeLoader)
        except (OSError, yaml.YAMLError):
            continue
        for i, part in enumerate(path):
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            match = [(key, value) for key, value in pairs if key.value == part]
            if not match:
                break
            key, node = match[-1]
            if i + 1 > depth:
                best, depth = f"{file}:{key.start_mark.line + 1}", i + 1
    return best


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, of which YAML would keep the last one silently, keys
    that are not text, and values that JSON does not have."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # refused below, with its line
        if key.tag not in (_STRING, _MERGE):
            raise UserError(
                f"{loader.name}:{key.start_mark.line + 1}: key {key.value} is not text; quote it: "
                f"'{key.value}'"
            )
        if key.value in seen:
            raise UserError(
                f"{loader.name}:{key.start_mark.line + 1}: key '{key.value}' is written twice "
                f"(first on line {seen[key.value]}); keep one"
            )
        seen[key.value] = key.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


def _no_json(loader: _Loader, node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2]
    text = f" ({node.value})" if isinstance(node, yaml.ScalarNode) else ""
    raise UserError(
        f"{loader.name}:{node.start_mark.line + 1}: YAML reads this as a {kind}{text}, which no "
        "recipe has; quote it if it is text"
    )


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
for _kind in ("timestamp", "binary", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _no_json)


def read_yaml(path: Path) -> dict[str, Any]:
    """One file as plain data.

    Raises UserError for a file that cannot be read or is not YAML, and for a key written twice.
    """
    try:
        with path.open() as stream:
            data = yaml.load(stream, Loader=_Loader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(
            f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})"
        ) from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected sections like 'classifier:', found no keys")
    return data
