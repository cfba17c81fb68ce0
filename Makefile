# Two commands on a fresh machine: `make demo` (a picture) and `make test` (the tests). Both may be run again.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
IMAGES ?= 100k

.PHONY: demo test reliability lint check wheel-test docs clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

demo: $(INSTALLED)  ## Train the recipe digits on the CPU; leaves a sample grid and a checkpoint.
	$(BIN)/gankit train --recipe digits --images $(IMAGES) --device cpu --new

test: $(INSTALLED)  ## The tests, on two cores; where Python is told to keep no bytecode, each of their processes would compile gankit.
	$(BIN)/python -m compileall -q gankit plugins
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m 'not slow' --ignore tests/reliability

reliability: $(INSTALLED)  ## A share of each campaign of accidents (reliability/), sabotage that it must notice, and slow tests.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal tests/reliability
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow --ignore tests/reliability

lint: $(INSTALLED)  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel-test: $(INSTALLED)  ## Build the wheel, install it into a new environment, train 20 steps and sample.
	PYTHON=$(PYTHON) PATH="$(abspath $(BIN)):$$PATH" sh tests/wheel_test.sh

docs: $(INSTALLED)  ## The site, into site/; a link that leads nowhere is an error.
	$(BIN)/mkdocs build --strict --config-file .mkdocs.yml

check: lint test reliability wheel-test  ## All checks.

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
