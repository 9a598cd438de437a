#!/usr/bin/env bash
# snakemake 9.27.1: `default_target: True` counts only in the main Snakefile. In an included file it
# is dropped without a word. Called without a target, such a workflow makes nothing, says "Nothing to
# be done", and ends with status 0. The rule can still be called by its name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > targets.smk <<'SMK'
rule everything:
    default_target: True
    output: "made.txt"
    shell: "touch {output}"
SMK
echo 'include: "targets.smk"' > Snakefile
env/bin/snakemake --snakefile targets.smk --cores 1 --dry-run > main.txt 2>&1
env/bin/snakemake --cores 1 --dry-run > included.txt 2>&1
env/bin/snakemake --cores 1 --dry-run everything > called.txt 2>&1
grep -q "missing.*everything\|rule everything\|Missing output files: made.txt" main.txt
grep -q "Missing output files: made.txt" called.txt
if ! grep "Nothing to be done" included.txt; then
  echo "changed: the default target of an included file counts" >&2
  exit 1
fi
echo "the same rule runs as the main file, or when it is called by its name"
