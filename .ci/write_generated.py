"""Write what the repository holds of its own output.

These are the schema, the columns in the docs, and the demo's configuration in one file, which the
Snakemake workflow catalog copies.
"""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import yaml

from wsss.core.configfile import merge_used, read_yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/stages/report.md"
BLOCK = re.compile(r"(<!-- columns:.*?-->\n).*?(<!-- end of columns -->)", re.S)


def said(*words: str) -> str:
    """What a command of wsss prints."""
    command = [sys.executable, "-m", "wsss", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


HEADER = """\
# The demo in one file: config.yaml with the recipes that it uses. `make generated` writes it.
# Each key is explained in docs/configuration.md.

"""


def whole_demo() -> str:
    """The demo's configuration without `use`."""
    with contextlib.chdir(ROOT):  # where the paths of `use` start
        whole = merge_used(read_yaml(Path("config.yaml")), "config.yaml")
    return HEADER + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)


def main() -> None:
    """Rewrite the three files."""
    (ROOT / "config" / "config.yaml").write_text(whole_demo())
    (ROOT / "config.schema.json").write_text(said("schema"))
    columns = said("report", "columns")
    page, found = BLOCK.subn(lambda block: f"{block[1]}{columns}{block[2]}", PAGE.read_text())
    if found != 1:
        sys.exit(f"{PAGE}: no block of columns; put the two comments back")
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
