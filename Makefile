# Works with GNU make 3.81 (macOS) and later. Every target prepares .venv first, which costs nothing once it is there.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run test check mutants chaos bench bench-extract clean lint types
.NOTPARALLEL:

BIN := .venv/bin
ARGS ?=
# Half of the time a test waits for a process that it started. More than two would want more than 8 GB of memory.
TWO_AT_ONCE = -n 2 --dist loadfile --no-loadscope-reorder

# The first Python from 3.11 to 3.13, by PYTHON=… or on the PATH.
FIND_PYTHON = for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; \
	then found="$$candidate"; break; fi; done; \
	if [ -z "$$found" ] && command -v uv >/dev/null 2>&1; then found=`uv python find '>=3.11,<3.14' 2>/dev/null`; fi; \
	if [ -z "$$found" ]; then echo "Python 3.11, 3.12 or 3.13 is needed and was not found; install one (on Debian and Ubuntu:" \
	"apt install python3; on macOS: brew install python@3.13), or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi

help:
	@echo 'make run     bring up six local sources and move their data to Bronze, Silver and Gold'
	@echo 'make test    everything that must hold before a change is taken: lint, types, architecture, all tests'
	@echo 'make check   the quick part of it, for while you work'
	@echo 'make mutants mistakes made on purpose: does the independent answer of the tests notice each?'
	@echo 'make chaos   runs killed at every point that a crash can come at: does the next one mend all?'
	@echo 'make bench   the reference job against the same written by hand'
	@echo 'make bench-extract  reading each source into Bronze, against a raw client and dlt'
	@echo 'make clean   stop and remove all that was made here'
	@echo 'make setup   only prepare .venv; the others do it themselves'
	@echo
	@echo 'make run ARGS="--select orders --json" passes options on; $(BIN)/headwater --help tells them all.'

setup:
	@$(FIND_PYTHON); "$$found" scripts/local/setup.py

run: setup
	@$(BIN)/headwater run $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest $(TWO_AT_ONCE) $(ARGS)

check: lint types
	$(BIN)/python -m pytest -m "not slow" -q tests/unit tests/house $(ARGS)

mutants: setup
	$(BIN)/python -m tests.mutants $(ARGS)

chaos: setup
	$(BIN)/python -m tests.chaos $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks.reference_job $(ARGS)

bench-extract: setup
	$(BIN)/python -m benchmarks.extract $(ARGS)

clean:
	@$(FIND_PYTHON); "$$found" scripts/local/clean.py
