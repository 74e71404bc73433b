PYTHON ?= python3
BIN := .venv/bin
SOURCES = $(wildcard trimtab tests bench)
PIP = $(BIN)/python -m pip --disable-pip-version-check
PYTEST = $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format docs bench prove lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/ready ## build .venv from requirements.lock (nothing to do if it is up to date)

# Two files say that .venv has what the lock lists, and that the project itself is in it.
.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Trimtab needs Python 3.11 or later and '$(PYTHON)' is not: try 'make setup PYTHON=python3.12'." >&2; exit 1; }
	@echo "Setting up .venv, once: a minute or two."
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install -qq --require-hashes -r requirements.lock
	@touch $@

.venv/ready: .venv/locked pyproject.toml
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## run the main job on eight years of real prices, then keep serving
	@$(BIN)/trimtab demo

# House style is `make check`'s.
test: setup ## run the whole test suite, on SQLite and on a real PostgreSQL
	@$(PYTEST) -n 3 --ignore tests/test_tidy.py

check: setup ## format, lint, types, import layers, house style
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) tests/test_tidy.py -q -n 2

format: setup ## format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: setup ## write the reference pages that are made from the program itself
	@$(BIN)/python -m tests.cli.write_docs

bench: setup ## run every benchmark, one JSON line each
	@for script in $(sort $(wildcard bench/bench_*.py)); do $(BIN)/python "$$script" || exit 1; done

prove: setup ## run the long proofs, and print their figures
	@$(PYTEST) -n 2 -m prove -rP

lock: setup ## make requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url \
		--python-version 3.11 --custom-compile-command "make lock" --extra dev pyproject.toml -o requirements.lock

clean: ## remove .venv and every cache
	@rm -rf .venv .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build ./*.egg-info
	@find trimtab tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
