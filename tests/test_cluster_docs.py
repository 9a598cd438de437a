"""The table of failures in docs/cluster.md names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_table_of_failures_names_tests_that_there_are():
    text = (TESTS.parent / "docs/cluster.md").read_text()
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", text.partition("## Failures")[2], re.M
    )
    files = {str(path.relative_to(TESTS)): path.read_text() for path in TESTS.rglob("test_*.py")}
    functions = re.findall(r"^def (test_\w+)", "\n".join(files.values()), re.M)
    assert len(rows) > 15
    for fault, where in rows[1:]:
        named = re.findall(r"`([^`]+)`", where)
        assert named or where.startswith("the same"), fault
        for name in named:
            start = f"test_{name.rstrip('…')}"
            assert name in files or any(f.startswith(start) for f in functions), (fault, name)
