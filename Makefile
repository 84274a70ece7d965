# Each target sets up what it needs: a virtual environment in $(VENV), with the versions that constraints.txt pins.
#   make demo     simulate a mouse, reconstruct movies it watched, write a report
#   make test     the tests          make test-slow, test-nightly     those that take longer; make test-all: all
#   make lint     ruff, mypy, imports make format                      what ruff can fix by itself
#   make bench    our speed beside the published loop's, a pass and a movie; make bench-all: all benchmarks, some hours
#   make docs     docs/_build/html/index.html
#   make wheel    dist/              make pins                        constraints.txt anew, newest versions
# Options of a command go into ARGS: make demo ARGS="--quick", make test ARGS="-k mask -x -n 0" (-n 0: in one process).

VENV ?= .venv
ARGS ?=
PINS := -c constraints.txt

# The first Python of 3.11 or newer that can make virtual environments; `make PYTHON=/some/python` says another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)

# Half the logical processors are the physical cores on most machines; small tensors gain nothing from more than four.
THREADS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$(( n > 4 ? 4 : n )))
export OMP_NUM_THREADS ?= $(THREADS)

BIN := $(VENV)/bin

# Tests run side by side in processes of one thread each, the tests of a file in one of them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(THREADS) --dist loadfile

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow test-nightly test-all lint format bench bench-all docs wheel pins clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.installed-export
	$(BIN)/neuroreel demo $(ARGS)

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow and not nightly" $(ARGS)

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m "slow and not nightly" $(ARGS)

test-nightly: $(VENV)/.installed-dev
	$(PYTEST) -m nightly $(ARGS)

test-all: $(VENV)/.installed-dev
	$(PYTEST) $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/inversion.py $(ARGS)
	out=$$(mktemp -d) && $(BIN)/neuroreel benchmark quality --quick --out "$$out/quality" \
		--methods ridge "bauer_2026, 1 model" posterior --iterations 50; rm -rf "$$out"

bench-all: $(VENV)/.installed-dev
	for script in benchmarks/[a-z]*.py; do $(BIN)/python "$$script" $(ARGS) || exit 1; done

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html $(ARGS)

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --no-isolation --outdir dist

# One environment for all targets; installed again when the lists of what to install change.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (once; a few minutes, mostly torch) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS) hatchling editables setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS) --no-build-isolation --editable ".[$*]"
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "neuroreel needs Python 3.11 or newer with its venv module, and found none." >&2; \
		echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv), or: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# What pyproject.toml's ranges give today; TORCH=torch==2.13.0 keeps that one. Read the difference and run .ci/run.
pins:
	set -e; new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; \
	"$(PYTHON)" -m venv "$$new/venv"; \
	"$$new/venv/bin/python" -m pip install --quiet $(TORCH) ".[export,docs,dev]"; \
	"$$new/venv/bin/python" -m pip uninstall --quiet --yes neuroreel; \
	{ sed -n '/^#/p' constraints.txt; "$$new/venv/bin/python" -m pip freeze --all --exclude pip \
		| sed 's/+cpu$$//' | grep -v -i -E '^(nvidia|cuda|triton)'; } > "$$new/constraints.txt"; \
	cp "$$new/constraints.txt" constraints.txt

clean:
	rm -rf .installed-* build dist docs/_build docs/api docs/notebooks .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
