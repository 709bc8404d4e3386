# Thin targets: each is a line that works by hand as well (README, "By hand").
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

.PHONY: demo test test-long lint docs install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest -m 'not long'

test-long: install
	$(BIN)/python -m pytest -m long --timeout 3600

lint: install
	$(BIN)/ruff check geofcs tests examples
	$(BIN)/ruff format --check geofcs tests examples
	$(BIN)/mypy

docs: install
	$(BIN)/typer geofcs.cli.app utils docs --name geofcs --title "Commands and options" --output docs/cli.md

clean:
	rm -rf $(VENV) demo build dist
