# make up    opens the floor (Ctrl-C closes it)        make down   closes it from another terminal
# make test  prepares and runs every test              make lint   style, types and import rules alone
# HYPOTHESIS_PROFILE=explore make test looks for examples that no run has tried yet
# make bench measures speed beside its peers and writes data/bench/latest.json; ONLY="engine bars" measures a part (it needs g++)
# make soak  holds the compiled matching core against a plain one over a million events (SEED=1 EVENTS=1000000);
#            SOAK=floor tries what people, the market and crashes may do to the whole floor, for MINUTES=60
# make parity lives a day of orders through killed brokers and replays it to the bit (ORDERS=10000 KILLS=20)
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: up down test lint clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^# //p' Makefile

up: $(VENV)/.installed
	@exec $(BIN)/tradefloor up

down: $(VENV)/.installed
	@$(BIN)/tradefloor down

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest tests/tooling

.PHONY: bench
bench: $(VENV)/.installed-dev
	@$(BIN)/python -m bench $(ONLY)

SEED ?= 1
EVENTS ?= 1000000
SOAK ?= core
MINUTES ?= 60
.PHONY: soak
soak: $(VENV)/.installed-dev
ifeq ($(SOAK),floor)
	@FLOOR_MINUTES=$(MINUTES) $(BIN)/python -m pytest -q --timeout=0 tests/proof/test_floor_machine.py
else
	@PYTHONPATH=. $(BIN)/python tests/exchange/soak.py $(SEED) $(EVENTS)
endif

ORDERS ?= 10000
KILLS ?= 20
.PHONY: parity
parity: $(VENV)/.installed-dev
	@PARITY_ORDERS=$(ORDERS) PARITY_KILLS=$(KILLS) $(BIN)/python -m pytest -q tests/processes/test_parity_day.py

# Removes what was prepared, never the floor's data.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Tradefloor needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "The virtual environment could not be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.installed: requirements.txt pyproject.toml $(VENV)/.python
	@echo "Installing the floor's libraries (1 to 3 minutes, once) ..."
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@echo "Compiling the exchange (half a minute, once) ..."
	@$(BIN)/python -m trading.processes.compile
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the tests' libraries ..."
	@$(PIP) install -r requirements-dev.txt
	@touch $@
