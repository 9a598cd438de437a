"""A module's syntax tree as text, without what only people read.

The text lacks:
- comments, docstrings, positions and `pass`
- the messages of `raise` and `assert`
- texts for them: in variables such as `message`, in `UserError`, and given to functions that refuse
- calls of the module logger, such as `log.info("…")`, of `warnings.warn` and `findings.add`
- the names of progress bars, the descriptions of fields, options and outputs
- the remedy at the end of an error, where a function takes it
- imports from modules that compute nothing

An expression inside a message stays unless it only reads values, as `{len(ids)}` does.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from functools import cache
from typing import Any

# Keyword arguments that hold prose, by the last name of the function.
PROSE = {
    "progress": {"what", "unit"},
    "Field": {"description"},
    "Option": {"help"},
    "Argument": {"help"},
    "Typer": {"help"},
    "Output": {"about", "title"},
    "require_classes": {"remedy"},
}
# Variables whose texts go into messages, and nowhere else.
PROSE_NAMES = {"HINT", "hint", "message", "reason", "REMEDY", "remedy"}
# Calls that make a message of the texts given to them.
REFUSING = {"MaskError", "UserError", "_refuse", "_refuse_unless_about", "shorten_list"}
# Methods that only report, by the name of their object.
LOGGING = {
    "log": {"debug", "info", "warning", "error", "exception", "critical"},
    "warnings": {"warn"},
    "findings": {"add"},
}

# Functions that leave their argument as it is. `sorted` is absent because it empties an iterator.
READERS = {"abs", "bool", "float", "int", "len", "repr", "round", "str", "type"}
READING = (
    *(ast.Attribute, ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.IfExp),
    *(ast.FormattedValue, ast.JoinedStr, ast.Name, ast.Slice, ast.Subscript, ast.Tuple),
    *(ast.UnaryOp, ast.boolop, ast.cmpop, ast.expr_context, ast.operator, ast.unaryop),
)

# `ctx` follows from where a node stands, and the `kind` of a text is the u in front of it.
UNUSED = {"ctx", "kind", "type_comment", "type_ignores"}


def numeric_text(tree: ast.AST, ignored: Collection[str] = ()) -> str:
    """Text that differs between two syntax trees if their numbers may differ.

    ignored: modules from which names may be imported without a trace in the text.
    Empty fields are left out, because versions of Python differ in which of them they have.
    """
    writer = _Writer(ignored)
    writer.write(tree)
    return "".join(writer.parts)


def is_reading(expression: ast.AST) -> bool:
    """Whether an expression only reads values, so that nothing changes without it."""
    return all(
        isinstance(node, READING) and (not isinstance(node, ast.Call) or _is_reader(node.func))
        for node in ast.walk(expression)
    )


def _is_reader(function: ast.expr) -> bool:
    """`len` and its like, and the method `join` of a literal text."""
    if isinstance(function, ast.Attribute):
        return function.attr == "join" and _is_text(function.value)
    return isinstance(function, ast.Name) and function.id in READERS


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_logging(node: ast.expr) -> bool:
    """Whether it is a call such as `log.info("…")`, `warnings.warn("…")` or `findings.add("…")`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    return node.func.attr in LOGGING.get(getattr(node.func.value, "id", None), ())


@cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    return tuple(name for name in kind._fields if name not in UNUSED)


class _Writer:
    """Collects the text of nodes in `parts`.

    prose, an argument of its methods: the node is part of a message, whose literal texts stay out.
    """

    def __init__(self, ignored: Collection[str]) -> None:
        self.parts: list[str] = []
        self.ignored = ignored

    def write(self, node: ast.AST, prose: bool = False) -> None:
        write = _SPECIAL.get(type(node))
        if write is None:
            self.plain(node, prose)
        else:
            write(self, node, prose)

    def plain(self, node: ast.AST, prose: bool, without: str | None = None) -> None:
        """All fields of a node, except one."""
        self.parts.append(f"{type(node).__name__}(")
        for name in _fields(type(node)):
            value = getattr(node, name, None)
            if value is None or value == [] or name == without:
                continue
            self.parts.append(f"{name}=")
            self.value(value, prose)
        self.parts.append(")")

    def value(self, value: Any, prose: bool) -> None:
        """What a field holds: a node, a list, or a name or number."""
        if isinstance(value, ast.AST):
            self.write(value, prose)
        elif isinstance(value, list):
            self.parts.append("[")
            for item in value:
                self.value(item, prose)
            self.parts.append("]")
        else:
            self.parts.append(f"{value!r},")

    def message(self, *expressions: ast.AST) -> None:
        """What a message computes."""
        for expression in expressions:
            if not is_reading(expression):
                self.write(expression, prose=True)

    def constant(self, node: ast.Constant, prose: bool) -> None:
        if not (prose and isinstance(node.value, str)):
            self.parts.append(f"{node.value!r},")

    def f_string(self, node: ast.JoinedStr, prose: bool) -> None:
        if prose:
            self.message(*node.values)
        else:
            self.plain(node, prose)

    def assignment(self, node: ast.NamedExpr, prose: bool) -> None:
        self.plain(node, prose=False)  # its text may be used after the message

    def variable(self, node: ast.Assign, prose: bool) -> None:
        """Texts of a message under way; what is computed for them stays."""
        named = isinstance(node.targets[0], ast.Name) and node.targets[0].id in PROSE_NAMES
        self.plain(node, prose or named)

    def definition(self, node: Any, prose: bool) -> None:
        """A module, class or function."""
        self.plain(node, prose, without="body")
        first = node.body[0] if node.body else None
        has_docstring = isinstance(first, ast.Expr) and _is_text(first.value)
        self.value(node.body[1:] if has_docstring else node.body, prose)

    def nothing(self, node: ast.Pass, prose: bool) -> None:
        """`pass` stands where a docstring may stand as well."""

    def statement(self, node: ast.Expr, prose: bool) -> None:
        if _is_logging(node.value):
            self.message(*node.value.args, *(k.value for k in node.value.keywords))
        else:
            self.plain(node, prose)

    def failure(self, node: ast.Raise, prose: bool) -> None:
        if not isinstance(node.exc, ast.Call):
            self.plain(node, prose)
            return
        self.plain(node, prose, without="exc")
        self.write(node.exc.func)
        self.value([*node.exc.args, *node.exc.keywords], prose=True)

    def assertion(self, node: ast.Assert, prose: bool) -> None:
        self.plain(node, prose, without="msg")
        if node.msg is not None:
            self.message(node.msg)

    def call(self, node: ast.Call, prose: bool) -> None:
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        hidden = PROSE.get(name)
        if hidden is None:
            self.plain(node, prose or name in REFUSING)
            return
        self.plain(node, prose, without="keywords")
        for keyword in node.keywords:
            if keyword.arg in hidden:
                self.message(keyword.value)
            else:
                self.write(keyword, prose)

    def import_from(self, node: ast.ImportFrom, prose: bool) -> None:
        if node.level or node.module not in self.ignored:
            self.plain(node, prose)


_SPECIAL = {
    ast.Constant: _Writer.constant,
    ast.JoinedStr: _Writer.f_string,
    ast.Assign: _Writer.variable,
    ast.NamedExpr: _Writer.assignment,
    ast.Module: _Writer.definition,
    ast.ClassDef: _Writer.definition,
    ast.FunctionDef: _Writer.definition,
    ast.AsyncFunctionDef: _Writer.definition,
    ast.Pass: _Writer.nothing,
    ast.Expr: _Writer.statement,
    ast.Raise: _Writer.failure,
    ast.Assert: _Writer.assertion,
    ast.Call: _Writer.call,
    ast.ImportFrom: _Writer.import_from,
}
