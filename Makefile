# make demo, make test and make lint do their own set-up: a .venv with what each needs, and no more.
# They need Linux, python3 >= 3.11 with venv, and make; nothing is installed outside this folder
# but the user's cache, and nothing needs root.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Where make up keeps a store of your own.
DATA   ?= mine
# How many tests run at a time, each worker with databases of its own.
WORKERS ?= auto
PARALLEL = --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
DEMO   := $(VENV)/.demo
READY  := $(VENV)/.ready
# The oldest versions of what pyproject.toml names, each the lowest that it allows.
LOWEST := $(VENV)-lowest
EXTRAS := archive,demo,iceberg,mcp,pool,report,server,dev
DOCS   := $(VENV)/docs/.ready
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

.PHONY: demo up check test test-lowest coverage mutations lint docs dist bench format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   start an embedded TimescaleDB, send tool calls, print the answers"
	@echo "make up     a store of your own in ./$(DATA), with its dashboard, until Ctrl-C"
	@echo "make check  lint, and the tests that take no seconds each: while you work"
	@echo "make test   run all tests"
	@echo "make lint   ruff, mypy --strict, import-linter, pgspot, eslint, tsc --checkJs"
	@echo "make coverage     all tests, and which lines of the package none of them runs"
	@echo "make test-lowest  the tests of what depends on others' packages, on the oldest we allow"
	@echo "make mutations    break the code in ten places, and see the tests fail"
	@echo "make docs   build the pages of docs/ into site/, and check every link"
	@echo "make dist   build the wheel and the source distribution into dist/"
	@echo "make bench  measure, on a native TimescaleDB, and write benchmarks/results/"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bcp_analytics needs Python 3.11 or later as '$(PYTHON)': install it, or name it with 'make PYTHON=/path/to/python3.11 ...'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing: install it (Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }

$(DEMO): pyproject.toml | $(BIN)/python
	@echo "Installing what the demo and the dashboard need into $(VENV), once: 330 MB."
	@$(PIP) --editable '.[demo,server]'
	@touch $@

$(READY): pyproject.toml | $(BIN)/python
	@echo "Installing what tests and linters need into $(VENV), once: 1.7 GB."
	@$(PIP) --editable '.[$(EXTRAS)]'
	@touch $(DEMO) $@

demo: $(DEMO)
	@$(BIN)/bcp-analytics demo

up: $(DEMO)
	@$(BIN)/bcp-analytics up --data '$(DATA)' --serve

check: lint
	@$(BIN)/python -m pytest --quick $(PARALLEL)

test: $(READY)
	@$(BIN)/python -m pytest $(PARALLEL)

# Of subprocesses and workers too. Not in make test: it makes Python slower by a fifth.
coverage: $(READY)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(PARALLEL)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

$(LOWEST)/.ready: pyproject.toml | $(READY)
	@$(PYTHON) -m venv $(LOWEST)
	@$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[$(EXTRAS)]'
	@touch $@

# Old versions warn of what is new beside them: that is not ours to mend. The reference shows the help of the newest
# Typer, whose words differ.
test-lowest: $(LOWEST)/.ready
	@BCP_TEST_TARGETS=embedded $(LOWEST)/bin/python -m pytest $(PARALLEL) -W default \
	  tests/python tests/contract tests/migration \
	  --deselect tests/contract/test_reference_doc.py::test_the_commands_are_up_to_date

mutations: $(READY)
	@$(BIN)/python -m tests.mutations

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
	@$(BIN)/python -m benchmarks.proxy_http
	@$(BIN)/python -m benchmarks.archive
	@$(BIN)/python -m benchmarks.capacity
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.ingest --plain
	@$(BIN)/python -m benchmarks.ingest_cpu
	@$(BIN)/python -m benchmarks.anonymizer
	@$(PIP) --editable '.[bench]'
	@$(BIN)/python -m benchmarks.queries
	@$(BIN)/python -m benchmarks.questions
	@$(BIN)/python -m benchmarks.lifecycle
	@$(BIN)/python -m benchmarks.real_clients
	@$(BIN)/python -m benchmarks.stream
	@$(BIN)/python -m benchmarks.real_clients.over_http

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(LOWEST) tools/js/node_modules site dist .cache .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .grimp_cache .hypothesis
