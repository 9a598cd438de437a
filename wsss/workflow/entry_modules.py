"""Which module a command of wsss calls today, read from the source of its command line.

A run card names the command that made its output, and the module that it called on that day.
Modules move and commands stay, so the command leads from an old card to the code of today.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from wsss.core import digest


def stages() -> list[str]:
    """The first words of commands, such as "cam" in `wsss cam extract`."""
    return sorted(_command_lines())


def stage_of(command: Sequence[str]) -> str | None:
    """The stage of a command, which is given as its words after `wsss`."""
    stage, _ = _stage_and_action(command)
    return stage


def module_of(command: Sequence[str]) -> str | None:
    """The module that makes the output of a command, which is given as its words after `wsss`.

    None for an unknown command, and for one that writes no run card.
    """
    stage, action = _stage_and_action(command)
    return _modules(_command_lines()[stage]).get(action) if stage else None


def _stage_and_action(command: Sequence[str]) -> tuple[str | None, str]:
    words = iter(command)
    for word in words:
        if word == "--log":
            next(words, None)
        elif not word.startswith("-"):
            return (word if word in _command_lines() else None), next(words, "")
    return None, ""


def _command_lines() -> dict[str, Path]:
    """The source of each stage's command line, and of other commands that write run cards."""
    own = {path.parent.name: path for path in digest.ROOT.glob("*/cli.py")}
    others = digest.ROOT.glob("commands/[!_]*.py")
    return own | {path.stem: path for path in others if _modules(path)}


@cache
def _modules(command_line: Path) -> dict[str, str]:
    """Each action whose command calls `run_card`, with the module of the function given to it."""
    here = ".".join(command_line.relative_to(digest.ROOT.parent).with_suffix("").parts)
    tree = ast.parse(command_line.read_text())
    found = {}
    for command in tree.body:
        if isinstance(command, ast.FunctionDef) and (action := _action(command)):
            origins = _origins(tree) | _origins(command)
            for entry in _entries(command):
                found[action] = origins.get(entry, here)
    return found


def _action(function: ast.FunctionDef) -> str | None:
    """The name of the command that a function is decorated as, None if it is not decorated."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "app.command":
            named = [node.value for node in decorator.args if isinstance(node, ast.Constant)]
            return named[0] if named else function.name.replace("_", "-")
    return None


def _entries(command: ast.FunctionDef) -> Iterator[str]:
    """The functions that are given to `run_card`."""
    for node in ast.walk(command):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_card":
            yield ast.unparse(node.args[1])


def _origins(scope: ast.Module | ast.FunctionDef) -> dict[str, str]:
    """The module that each imported name comes from."""
    return {
        alias.asname or alias.name: node.module
        for node in scope.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
