"""Write what the repository holds of its own output: the schema, and the columns in the docs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/stages/report.md"
BLOCK = re.compile(r"(<!-- columns:.*?-->\n).*?(<!-- end of columns -->)", re.S)


def said(*words: str) -> str:
    """What a command of wsss prints."""
    command = [sys.executable, "-m", "wsss", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def main() -> None:
    """Rewrite both files."""
    (ROOT / "config.schema.json").write_text(said("schema"))
    columns = said("report", "columns")
    page, found = BLOCK.subn(lambda block: f"{block[1]}{columns}{block[2]}", PAGE.read_text())
    if found != 1:
        sys.exit(f"{PAGE}: no block of columns; put the two comments back")
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
