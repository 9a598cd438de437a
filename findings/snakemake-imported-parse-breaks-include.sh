#!/usr/bin/env bash
# snakemake 9.27.1: a Snakefile that imports a function of its own named `parse` cannot include
# another file afterwards. Rule files run in the namespace from which Snakemake takes its parser,
# so the include calls the imported function.
# Seen: TypeError … parse() got an unexpected keyword argument 'rulecount'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > settings.py <<'PY'
def parse(text):
    return text.split()
PY
echo 'rule all: input: []' > rules.smk
printf '%s\n' 'import sys' 'sys.path.insert(0, ".")' 'from settings import parse' \
  'include: "rules.smk"' > Snakefile
sed 's/import parse/import parse as words/' Snakefile > Other
if env/bin/snakemake --cores 1 --dry-run > out.txt 2>&1; then
  echo "changed: the include works beside an imported parse" >&2
  exit 1
fi
grep "unexpected keyword argument 'rulecount'" out.txt
env/bin/snakemake --snakefile Other --cores 1 --dry-run > out.txt 2>&1
echo "the same file works once the function has another name"
