"""`~` and environment variables in the paths of a configuration: one rule for all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from wsss.core.errors import UserError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def expand(text: str, key: str) -> Path:
    """The path that `text` means: ${NAME} is an environment variable, a leading ~ a home folder.

    key: where the text stands, for messages. UserError for a variable that is not set or empty, and
    for one without braces, where `$NAME_x` would leave open what is meant.
    """
    bare = re.search(r"\$(\w+|\{)", _VARIABLE.sub("/", text))
    if bare:
        name = "NAME" if bare[1] == "{" else bare[1]
        raise UserError(f"{key}: '{text}': write an environment variable as ${{{name}}}")

    def value(match: re.Match) -> str:
        name = match[1]
        if not os.environ.get(name):
            raise UserError(f"{key}: environment variable {name} is not set; export {name}=…")
        return os.environ[name]

    try:
        return Path(_VARIABLE.sub(value, text)).expanduser()
    except RuntimeError:
        raise UserError(f"{key}: '{text}': no such home folder; write the path out") from None


def missing_file(text: str, key: str) -> list[str]:
    """A line where the path is not a file or cannot be expanded."""
    return _missing(text, key, "file", Path.is_file)


def missing_folder(text: str, key: str) -> list[str]:
    """The same of a folder."""
    return _missing(text, key, "folder", Path.is_dir)


def _missing(text: str, key: str, what: str, exists: Callable[[Path], bool]) -> list[str]:
    try:
        path = expand(text, key)
    except UserError as error:
        return [str(error)]
    return [] if exists(path) else [f"{key}: no {what} '{path}'; correct '{text}'"]
