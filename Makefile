# Every target sets up `.venv` by itself, with whatever Python 3.11 or newer is there.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

TSC := npx --yes --package typescript@5.9 tsc

.PHONY: demo test test-slow golden lint bench docs clean
.SILENT:

demo: $(VENV)/.installed
	$(BIN)/sightline demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

test-slow: $(VENV)/.installed-dev
	echo "The tests that are marked slow: five to ten minutes on two cores." >&2
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m slow

golden: $(VENV)/.installed-dev
	$(BIN)/python tests/golden.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	if command -v tsc >/dev/null; then tsc --project .; \
	elif ! command -v npx >/dev/null; then \
		echo "The types of the scripts are not checked: there is neither tsc nor npx on the PATH." >&2; \
	elif ! $(TSC) --version >/dev/null 2>&1; then \
		echo "The types of the scripts are not checked: npx cannot fetch TypeScript." >&2; \
	else $(TSC) --project .; fi

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/heatmaps.py
	$(BIN)/python benchmarks/scaling.py

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) docs/methods build dist

$(BIN)/python:
	test -n "$(PYTHON)" || { echo "sightline needs Python 3.11 or newer with its venv module" \
		"(on Debian: apt install python3-venv); set PYTHON=/path/to/python if it is not on the PATH." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	echo "Setting up $(VENV) (once; PyTorch is a large download) ..." >&2
	$(PIP) install --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	echo "Setting up $(VENV) with the tools for tests (once; PyTorch is a large download) ..." >&2
	$(PIP) install --editable '.[dev]'
	touch $@ $(VENV)/.installed
