# Thin targets: each is a line that works by hand as well (README, "By hand").
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(abspath $(VENV))/bin
# What the kernels are built from: a change builds them anew.
KERNELS = $(wildcard kernels/geofcs_kernels/csrc/*/*)

.PHONY: demo test test-long torture lint docs install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt kernels/pyproject.toml kernels/hatch_build.py $(KERNELS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]' --editable ./kernels
	touch $@

demo: install
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest -m 'not long'
	cd kernels && $(BIN)/python -m pytest -m 'not long'

test-long: install
	$(BIN)/python -m pytest -m long --timeout 3600
	cd kernels && $(BIN)/python -m pytest -m long

# Kills, full disks, remote faults, random inputs: half an hour on a machine that is otherwise idle. It fails where a fault
# was too rare or anything was wrong. Mounting small disks takes root or `unshare --map-root-user --mount make torture`.
torture: install
	$(BIN)/python -m tests.torture --docs docs/reliability.md

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd kernels && $(BIN)/mypy

docs: install
	$(BIN)/typer geofcs.cli.app utils docs --name geofcs --title "Commands and options" --output docs/cli.md

clean:
	rm -rf $(VENV) demo build dist kernels/dist kernels/geofcs_kernels/lib
