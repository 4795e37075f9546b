# Everything a person needs: `make up` to see it, `make test` to trust it, `make help` for the rest.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo "$$p" && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
UV = VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip
STAMP := $(VENV)/.installed
ARGS ?=
FLAT ?= ads

# What Python has compiled once is kept, whatever the machine says: each start would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install up down status chromium test test-quick lint check contracts lock bench size chaos sequences clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

$(STAMP): requirements/uv.txt requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed; none is on the PATH. Install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { echo "Python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing what the house needs into $(VENV) (once; some seconds) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/uv.txt
	@$(UV) sync --quiet --require-hashes --only-binary :all: --compile-bytecode requirements/uv.txt requirements/dev.txt
	@$(UV) install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP)  ## build .venv from the locked requirements

up: install  ## start the whole house and say where to go (Ctrl-C stops it)
	@exec $(BIN)/nguonthu up $(ARGS)

down: install  ## stop a house that runs elsewhere
	@$(BIN)/nguonthu down

status: install  ## what runs, and whether it is ready
	@$(BIN)/nguonthu status

chromium:
	@.ci/chromium

test: install chromium  ## all tests (ARGS="-k name" for some)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

test-quick: install  ## the rules of all flats and one flat's actions (FLAT=ads)
	@$(BIN)/python -m pytest -n 2 tests/*/test_rules* tests/test_*.py $(or $(wildcard tests/$(FLAT)/test_actions*),tests/$(FLAT)) $(ARGS)

lint: install  ## style, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## lint and test

contracts: install  ## write the JSON Schemas and the AsyncAPI document of all facts
	@$(BIN)/nguonthu contracts

lock: install  ## resolve pyproject.toml anew into requirements/
	@set -e; lock="$(UV) compile --quiet --universal --python-version 3.11 --only-binary :all: --generate-hashes \
		--no-annotate --no-header --no-emit-index-url"; \
		$$lock --upgrade pyproject.toml --group build --group dev -o requirements/dev.txt; \
		cp requirements/dev.txt requirements/run.txt; \
		$$lock pyproject.toml --group build -o requirements/run.txt; \
		echo uv | $$lock --upgrade - -o requirements/uv.txt

bench: install  ## measure the speed table and write it down (ARGS="V1 V4" shows some rows alone)
	@$(BIN)/python -m bench $(ARGS)

size: install  ## post until ten million entries stand, and measure the books on the way, some hours (ARGS=300000 stops there)
	@$(BIN)/python -m bench.size $(ARGS)

chaos: install  ## the long form of the storm: kills, pauses, cut and slow lines for ten minutes, and a restore (SEED=7)
	@CHAOS=long $(BIN)/python -m pytest tests/journeys -k chaos $(ARGS)

sequences: install  ## live thousands of runs of the whole house by chance; one that fails prints its replay command
	@SEQUENCES=$${SEQUENCES:-2000} $(BIN)/python -m pytest tests/simulation -k whatever_order $(ARGS)

clean:  ## remove what was built and measured; data in .data stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage* htmlcov artefacts
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
