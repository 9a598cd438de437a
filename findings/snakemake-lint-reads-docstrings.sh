#!/usr/bin/env bash
# snakemake 9.27.1: `--lint` finds rules by searching a file's text for "rule …:", in docstrings and
# comments too. A file of helper functions whose docstring has such words is reported as "Mixed rules
# and functions", and the lint fails, though it has no rule.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > Snakefile <<'SMK'
include: "common.smk"


rule all:
    input:
        [],
    log:
        "all.log",
    conda:
        "env.yaml"
SMK
helper() { printf '"""%s"""\n\n\ndef name(wildcards):\n    return "x"\n' "$1" > common.smk; }
helper "Names that other files use: name"
env/bin/snakemake --lint > clean.txt 2>&1 || true
helper "Names that other rule files use: name"
env/bin/snakemake --lint > mixed.txt 2>&1 || true
if grep -q "Mixed rules" clean.txt || ! grep "Mixed rules and functions" mixed.txt; then
  echo "changed: the lint no longer depends on the words of a docstring" >&2
  exit 1
fi
echo "one word of the docstring makes the difference"
