"""A digest of the code that decides a job's numbers: its module and all of wsss that it imports.

Command lines, logging and the lazily loaded names in `__init__.py` do not count.
Neither do comments, formatting and prose: wsss/core/numeric_syntax.py says what is hashed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from wsss.core import numeric_syntax
from wsss.core.numeric_syntax import numeric_text
from wsss.core.source_facts import Facts, SourceFacts

ROOT = Path(__file__).resolve().parents[1]  # the package's folder

# They print, parse and record; they never touch a number.
NOT_NUMERIC = {
    "wsss.core.digest",
    "wsss.core.errors",
    "wsss.core.files.run_card_file",
    "wsss.core.gpu",
    "wsss.core.log",
    "wsss.core.metrics",
    "wsss.core.mistakes",
    "wsss.core.numeric_syntax",
    "wsss.core.options",
    "wsss.core.software",
    "wsss.core.source_facts",
    "wsss.data.agreement",
    "wsss.data.layout_checks",
    "wsss.data.problems",
    "wsss.training.checkpoint_code",
}


@cache
def code_digest(module: str) -> str:
    """Twelve hexadecimal digits for `module` ("wsss.crf.refine") and what it imports of wsss."""
    if module not in closure(module):
        raise ValueError(f"{module}: computes nothing; name the module of the function that does")
    whole = hashlib.sha256()
    for name in sorted(closure(module)):
        whole.update(f"{name} {_facts(name).digest}\n".encode())
    _sources.save()
    return whole.hexdigest()[:12]


@cache
def closure(module: str) -> frozenset[str]:
    """The module and every numeric module of wsss that it imports, directly or not."""
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in found or name in NOT_NUMERIC or name.endswith(".cli"):
            continue
        found.add(name)
        todo += _imports(name)
    return frozenset(found)


@cache
def _path(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements inside `node`. ast.walk would go through expressions, ten times as many."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, field, [])
        # A lambda's or a conditional expression's body is not a list.
        for statement in inner if isinstance(inner, list) else []:
            yield statement
            yield from _statements(statement)


@cache
def _facts(module: str) -> Facts:
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: no such module in wsss")
    return _sources.of(module, path.read_text())


def _read(source: str) -> Facts:
    tree = ast.parse(source)
    names = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith("wsss.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "wsss":
            names += [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
    digest = hashlib.sha256(numeric_text(tree, NOT_NUMERIC).encode()).hexdigest()
    return Facts(digest, tuple(dict.fromkeys(names)))


_sources = SourceFacts(
    _read, Path(__file__).read_text() + Path(numeric_syntax.__file__).read_text()
)


def _imports(module: str) -> tuple[str, ...]:
    return tuple(name for name in _facts(module).names if _path(name) is not None)
