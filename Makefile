# `make` is the whole check. Every target makes the virtual environment first, if it is not there.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A worker for each core, each on one thread: two that share theirs wait for each other at every step.
TESTS := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto
FAST := $(TESTS) -m "not slow"

.PHONY: check demo test test-slow fix lock clean

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(FAST)

demo: $(READY)
	cd examples/corner-shop && ../../$(BIN)/fewtag bootstrap taxonomy.yaml
	cd examples/corner-shop && ../../$(BIN)/fewtag label import labels.csv --by shopkeeper
	cd examples/corner-shop && ../../$(BIN)/fewtag train --quick
	cd examples/corner-shop && ../../$(BIN)/fewtag status

test: $(READY)
	$(FAST)

test-slow: $(READY)
	$(TESTS) -m slow

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)
	{ head -1 constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//' | grep -v '^fewtag '; } > constraints.part
	mv constraints.part constraints.txt

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[offline,cpu,tune,server,report,dev]"
	touch $(READY)
