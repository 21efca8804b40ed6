# make demo, make test and make lint do their own set-up: a .venv with the package and its tools.
# They need Linux, python3 >= 3.11 with venv, and make; nothing is installed outside this folder
# but the user's cache, and nothing needs root.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# How many tests run at a time, each worker with databases of its own.
WORKERS ?= auto
READY  := $(VENV)/.ready

.PHONY: demo test lint bench format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   start an embedded TimescaleDB, send tool calls, print the answers"
	@echo "make test   run the tests"
	@echo "make lint   ruff, mypy --strict, pgspot"
	@echo "make bench  measure, on a native TimescaleDB, and write benchmarks/results/"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bcp_analytics needs Python 3.11 or later as '$(PYTHON)': install it, or name it with 'make PYTHON=/path/to/python3.11 ...'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing: install it (Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[archive,demo,mcp,report,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/bcp-analytics demo

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.pgspot_all

bench: $(READY)
	@$(BIN)/python -m benchmarks.record
	@$(BIN)/python -m benchmarks.proxy
	@$(BIN)/python -m benchmarks.archive
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.ingest --plain
	@$(BIN)/python -m benchmarks.anonymizer
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(BIN)/python -m benchmarks.queries
	@$(BIN)/python -m benchmarks.lifecycle

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
