# Every target sets itself up: it needs Python 3.11 or later, git and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
# A file of tests is one worker's; a worker computes on one thread.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile

.PHONY: demo test parity lint types check clean

demo: .venv/demo
	$(BIN)/bertsmith demo

test: .venv/dev
	$(PYTEST) -m "not slow"

# The slower comparisons with other people's code, and the runs on the whole of the real data.
parity: .venv/dev
	$(PYTEST) -m slow

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The extra in brackets is the target's name; the file marks what has been installed.
.venv/demo .venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt torch
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[$(@F)]'
	touch $@
