#!/bin/sh
# What both container recipes run, as root on Debian 12: the packages that wsss needs at the versions of
# constraints.txt. wsss itself stays outside: its code is that of the folder in which Snakemake runs.
set -eu
here=$(dirname "$0")

apt-get update
apt-get install --yes --no-install-recommends python3 python3-venv python3-dev g++ git
python3 -m venv "$here/venv"
python3 - "$here/pyproject.toml" > "$here/requirements.txt" << 'EOF'
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
print("\n".join(project["dependencies"]))
EOF
"$here/venv/bin/pip" install --no-cache-dir --constraint "$here/constraints.txt" \
  --requirement "$here/requirements.txt"
# Only pydensecrf2 is built.
apt-get purge --yes --auto-remove python3-dev g++
rm -rf /var/lib/apt/lists/*
