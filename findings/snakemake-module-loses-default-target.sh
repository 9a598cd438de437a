#!/usr/bin/env bash
# snakemake 9.27.1: a workflow that is taken over by `module` and `use rule *` has no default target,
# though one of its rules says `default_target: True`. Called without a target it makes nothing and
# ends with status 0. The rule can be called by its name.
# Seen: "Nothing to be done" without a target; one job with the target.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
mkdir workflow
cat > Snakefile <<'SMK'
rule everything:
    default_target: True
    output: "made.txt"
    shell: "touch {output}"
SMK
cat > workflow/Snakefile <<'SMK'
module own:
    snakefile: "../Snakefile"
use rule * from own
SMK
env/bin/snakemake --cores 1 --dry-run > direct.txt 2>&1
env/bin/snakemake --snakefile workflow/Snakefile --cores 1 --dry-run > module.txt 2>&1
env/bin/snakemake --snakefile workflow/Snakefile --cores 1 --dry-run everything > named.txt 2>&1
grep -q "touch\|everything" direct.txt
if ! grep "Nothing to be done" module.txt; then
  echo "changed: the default target of the module is taken over" >&2
  exit 1
fi
grep -q "everything" named.txt && ! grep -q "Nothing to be done" named.txt
echo "the same rule runs when it is named"
