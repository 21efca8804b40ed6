# make demo, make test and make lint do their own set-up: a .venv with what each needs, and no more.
# They need Linux, python3 >= 3.11 with venv, and make; nothing is installed outside this folder
# but the user's cache, and nothing needs root.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# How many tests run at a time, each worker with databases of its own.
WORKERS ?= auto
DEMO   := $(VENV)/.demo
READY  := $(VENV)/.ready
DOCS   := $(VENV)/docs/.ready
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

.PHONY: demo test lint docs dist bench format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   start an embedded TimescaleDB, send tool calls, print the answers"
	@echo "make test   run the tests"
	@echo "make lint   ruff, mypy --strict, import-linter, pgspot, eslint, tsc --checkJs"
	@echo "make docs   build the pages of docs/ into site/, and check every link"
	@echo "make dist   build the wheel and the source distribution into dist/"
	@echo "make bench  measure, on a native TimescaleDB, and write benchmarks/results/"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bcp_analytics needs Python 3.11 or later as '$(PYTHON)': install it, or name it with 'make PYTHON=/path/to/python3.11 ...'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing: install it (Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }

$(DEMO): pyproject.toml | $(BIN)/python
	@echo "Installing what the demo needs into $(VENV), once: 310 MB."
	@$(PIP) --editable '.[demo]'
	@touch $@

$(READY): pyproject.toml | $(BIN)/python
	@echo "Installing what tests and linters need into $(VENV), once: 1.7 GB."
	@$(PIP) --editable '.[archive,demo,mcp,pool,report,dev]'
	@touch $(DEMO) $@

demo: $(DEMO)
	@$(BIN)/bcp-analytics demo

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tools.pgspot_all
	@$(BIN)/python -m tools.javascript

# In an environment of its own: it needs none of the package, and make test none of it.
$(DOCS): docs/requirements.txt | $(BIN)/python
	@$(PYTHON) -m venv $(VENV)/docs
	@$(VENV)/docs/bin/python -m pip install --disable-pip-version-check --progress-bar off --requirement $<
	@touch $@

docs: $(DOCS)
	@$(VENV)/docs/bin/zensical build --clean --strict

dist: | $(BIN)/python
	@$(PIP) --quiet 'hatchling>=1.27'
	@rm -rf dist
	@$(BIN)/python -m hatchling build

bench: $(READY)
	@$(BIN)/python -m benchmarks.record
	@$(BIN)/python -m benchmarks.proxy
	@$(BIN)/python -m benchmarks.archive
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.ingest --plain
	@$(BIN)/python -m benchmarks.anonymizer
	@$(PIP) --editable '.[bench]'
	@$(BIN)/python -m benchmarks.queries
	@$(BIN)/python -m benchmarks.lifecycle
	@$(BIN)/python -m benchmarks.real_clients

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) tools/js/node_modules site dist .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .grimp_cache .hypothesis
