#!/usr/bin/env bash
# snakemake 9.27.1 with snakemake-executor-plugin-slurm 2.8.0: wherever `sacct` is on PATH, every
# start of snakemake runs `scontrol show config`, because the plugin wants MinJobAge for the words of
# an option's help. That is so for `--version`, for local runs and dry runs, and for the snakemake
# inside each job. With a controller that does not answer, each start waits for scontrol's time-out.
# Slurm's programs are stood in for by two scripts: `scontrol` answers after three seconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
  snakemake==9.27.1 snakemake-executor-plugin-slurm==2.8.0
mkdir "$folder/slurm"
printf '#!/bin/sh\nexit 0\n' > "$folder/slurm/sacct"
printf '#!/bin/sh\necho "scontrol $*" >> "%s/asked"\nsleep 3\nexit 1\n' "$folder" > "$folder/slurm/scontrol"
chmod +x "$folder"/slurm/*
cd "$folder"
seconds() { local start=$SECONDS; env/bin/snakemake --version > /dev/null 2>&1; echo $((SECONDS - start)); }
env/bin/snakemake --version > /dev/null # compiles its modules
without=$(seconds)
with=$(PATH="$folder/slurm:$PATH" seconds)
cat asked 2> /dev/null || true
if [ ! -e asked ] || [ $((with - without)) -lt 2 ]; then
  echo "changed: snakemake --version no longer asks Slurm's controller" >&2
  exit 1
fi
echo "snakemake --version waited for the controller"
