# make train | make test | make bench: each sets up a virtual environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=

.PHONY: train test test-fast lint bench setup clean

train: setup
	$(BIN)/python train.py $(ARGS)

test: setup
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

test-fast: setup
	$(BIN)/python -m pytest -q -n 2 -m "not slow" $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks.run $(ARGS)

setup: $(STAMP)

# One pip command for everything, so that the pins of fastNLP and torch are resolved together.
$(STAMP): pyproject.toml requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache
