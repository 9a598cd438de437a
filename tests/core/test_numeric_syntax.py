"""What of a module's syntax counts as able to change its numbers."""

import ast
import re

import pytest

from wsss.core.digest import NOT_NUMERIC, ROOT
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
    ('remedy = "one" if a else "two"', 'remedy = "another" if a else "two"'),
    ('message = f"{a}: one"', 'message = f"{a}: another"'),
    ('return UserError("one")', 'return UserError("another")'),
    ('self._refuse("one")', 'self._refuse(f"another")'),
]

NUMBERS = [
    ('remedy = "one" if a else "two"', 'remedy = "one" if b else "two"'),
    ('message = f"{step(a)}: one"', 'message = f"{a}: one"'),
    ('message = other = "one"', 'message = "one"'),
    ('mode = "one"', 'mode = "another"'),
    ('return Error("one")', 'return Error("another")'),
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


# Texts that results hold or pictures show; every other English text is a message.
SHOWN = {
    "none: arg-max of scores",
    "best on this split",
    "by recipe",
    "fixed by recipe",
    "not used",
    "this split",
    "over-activation (FP) and under-activation (FN)",
    " at threshold ",
    " detections in ",
    "the image",  # named in a message of a function that takes it
    "'xml' or ",
    "best on this split, for each figure",
    "best MaxBoxAccV2 of ",
    "chosen on train",
    "the classifier's own detections",
    "scores, macro over classes",
    "correlation of the weights over features",
    ": between classes mean |r| ",
    "loss and its parts",
}
ENGLISH = {*"the of is are has not it and or another give with in on by at this from".split()}
COMPUTING = ("affinity", "attribution", "cam", "classifier", "core", "crf", "data", "evaluation")
COMPUTING += ("explain", "nn", "saliency", "segmentation", "training")


def test_no_message_is_left_in_the_text_of_a_module():
    found = []
    for file in (path for package in COMPUTING for path in (ROOT / package).rglob("*.py")):
        module = ".".join(["wsss", *file.relative_to(ROOT).with_suffix("").parts])
        if module in NOT_NUMERIC or file.name == "cli.py":
            continue
        tree = ast.parse(numeric_source(file))
        found += [f"{module}: {word}" for word in sentences(tree) if word not in SHOWN]
    assert not found


def numeric_source(file):
    """The constants of the text that is hashed, as a module of Python."""
    text = numeric_text(ast.parse(file.read_text()), NOT_NUMERIC)
    constants = re.findall(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", text)
    return "\n".join(constants)


def sentences(tree):
    """Texts with a word that only English has, so neither shapes of arrays nor lists of names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if " " in node.value.strip() and ENGLISH & {*re.findall(r"\w+", node.value.lower())}:
                yield node.value
