"""What of a module's syntax counts as able to change its numbers."""

import ast

import pytest

from wsss.core.numeric_syntax import is_reading, numeric_text

IGNORED = {"wsss.core.log"}


def text(source):
    return numeric_text(ast.parse(source), IGNORED)


PROSE = [
    ("x = 1", "# why\nx = 1  # one"),
    ('def f():\n    """One."""\n    return 1', "def f():\n    return 1"),
    ('async def f():\n    """One."""', "async def f():\n    pass"),
    ('class A(E):\n    """One."""', "class A(E):\n    pass"),
    ('x = u"a"', 'x = "a"'),
    ('raise E("one")', 'raise E("another")'),
    ('raise E("one") from error', 'raise E(f"another {place}") from error'),
    (
        'raise E(f"{a} of {len(b)}: {b[0]:.2f}")',
        """raise E(f"{', '.join(b)}, {a if c else d!r}")""",
    ),
    ('raise E("\\n".join(lines))', 'raise E(" ".join(lines))'),
    ('raise E("%d images" % count)', 'raise E("%d pictures" % count)'),
    ('raise E("a", code=1)', 'raise E("b", code=1)'),
    ('raise E(f"{next(a)} x")', 'raise E(f"{next(a)} y")'),
    ('assert x, "one"', 'assert x, f"another {x}"'),
    ('if a:\n    log.info("one %s", a)', 'if a:\n    log.warning("another %d %d", len(a), b.c)'),
    ('x = 1\nlog.info("done")', "x = 1"),
    ('warnings.warn("one", stacklevel=2)', 'warnings.warn("another")'),
    ("from wsss.core.log import log\nx = 1", "from wsss.core.log import log, progress\nx = 1"),
    ('for i in progress(a, total=3, what="one"): f(i)', "for i in progress(a, total=3): f(i)"),
    ('x: int = Field(3, ge=1, description="One.")', "x: int = Field(3, ge=1)"),
    ('x: A[int, typer.Option("--x", help="One.")] = 1', 'x: A[int, typer.Option("--x")] = 1'),
]

NUMBERS = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ('x = "a"', 'x = "b"'),
    ('x = f"{a} b"', 'x = f"{a} c"'),
    ("x = None", "x = ()"),
    ("return_ = f()", "return_ = f(None)"),
    ("def f(): return", "def f(): return None"),
    ('if x > 1: raise E("one")', 'if x > 2: raise E("one")'),
    ('raise E("one")', 'raise F("one")'),
    ('raise E("one")', 'raise E("one") from None'),
    ('raise E("one", 1)', 'raise E("one", 2)'),
    ('raise E("one", code=1)', 'raise E("one", other=1)'),
    ('raise E("one", a)', 'raise E("one", b)'),
    ("raise error", "raise other"),
    ('raise E(f"{(x := 1)}")', 'raise E(f"{(x := 2)}")'),
    ("raise E(f\"{(x := 'a')}\")", "raise E(f\"{(x := 'b')}\")"),
    ('raise E(f"{step(x)}")', 'raise E("")'),
    ('raise E(f"{x:{step(y)}}")', 'raise E(f"{x}")'),
    ('raise E("\\n".join(lines))', 'raise E("\\n".join(others))'),
    ('assert x > 1, "one"', 'assert x > 2, "one"'),
    ('assert x, f"{step(x)}"', 'assert x, "one"'),
    ('log.info("%d", next(a))', 'log.info("%d", 1)'),
    ('log.info("%d", (n := len(a)))', 'log.info("%d", len(a))'),
    ('log.info("%s", sorted(a))', 'log.info("%s", a)'),
    ('if a:\n    log.info("one")', 'if b:\n    log.info("one")'),
    ('y = log.info("one")', 'y = log.info("another")'),
    ("log.update(a)", "log.update(b)"),
    ('table.info("one")', 'table.info("another")'),
    ("from wsss.core.maps import a", "from wsss.core.maps import b"),
    ("from .log import a", "from .log import b"),
    ('for i in progress(a, what="one"): f(i)', 'for i in progress(b, what="one"): f(i)'),
    ('progress(a, what=f"{step(x)}")', 'progress(a, what="one")'),
    ('x: int = Field(3, description="One.")', 'x: int = Field(4, description="One.")'),
    ('x: int = Field(3, ge=1, description="One.")', 'x: int = Field(3, ge=2, description="One.")'),
    ('f(description="one")', 'f(description="another")'),
    ('"one"\n"two"', '"one"\n"three"'),
    ("match x:\n    case None: y = 1", "match x:\n    case True: y = 1"),
    ("x = {**a, 1: b}", "x = {a: b, **b}"),
    ("f(*a)", "f(**a)"),
]


@pytest.mark.parametrize(("before", "after"), PROSE)
def test_prose_does_not_count(before, after):
    assert text(before) == text(after)


@pytest.mark.parametrize(("before", "after"), NUMBERS)
def test_all_else_counts(before, after):
    assert text(before) != text(after)


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("a.b[1:n, -1].c + f'{len(ids):>{width}} {float(x)}'", True),
        ("', '.join(names) if a and not b else 'none'", True),
        ("step()", False),
        ("a.pop()", False),
        ("a.join(b)", False),
        ("len(next(a))", False),
        ("str(x for x in a)", False),
        ("[x for x in a]", False),
        ("[*a]", False),
        ("(a := b)", False),
        ("lambda: a", False),
        ("(yield a)", False),
    ],
)
def test_what_only_reads(expression, reads):
    assert is_reading(ast.parse(expression, mode="eval").body) == reads
