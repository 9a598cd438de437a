# make demo    set up, then the whole pipeline on generated images
# make test    set up, then the test suite
# make test-slurm   only its part on a Slurm that it starts and stops (root; Debian's slurm-wlm, munge, slurmdbd, mariadb-server)
# make lint    ruff, snakefmt, snakemake --lint, import-linter, the English of the docs
# make docs    the documentation site, docs/_build/html/index.html
# make links   whether the web addresses in the docs still answer (needs the network)
# make generated    what is written from the code: config.schema.json, the columns in docs/stages/report.md,
#                  the demo in config/config.yaml
# make setup   the virtual environment .venv alone
# CORES=8 make demo   more cores; the default is all

PYTHON ?= python3
VENV   ?= .venv
CORES  ?= all
BIN    := $(VENV)/bin
DONE   := $(VENV)/.wsss-installed
PROSE  := README.md CHANGELOG.md config/README.md $(wildcard docs/*.md docs/*/*.md report/*.rst)

.PHONY: setup demo test test-slurm lint docs links generated
setup: $(DONE)

$(DONE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; run: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  there=$$(test ! -e $(VENV) || echo yes); $(PYTHON) -m venv $(VENV) || \
	  { test "$$there" || rm -rf $(VENV); \
	    echo "error: cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/snakemake --cores $(CORES) all
	@$(BIN)/python -m wsss report show results

# Three workers on two cores: the tests of Slurm and of DDP wait for other processes.
test: setup
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup

test-slurm: setup
	$(BIN)/python -m pytest tests/slurm

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --snakefile workflow/Snakefile --lint
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_prose.py $(PROSE)
	@$(BIN)/python .ci/check_prose.py Snakefile $(shell find wsss rules -name "*.py" -o -name "*.smk")

docs: setup
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build/html

links: setup
	$(BIN)/sphinx-build --quiet --builder linkcheck docs docs/_build/links

generated: setup
	$(BIN)/python .ci/write_generated.py
