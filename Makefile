# make train | make test | make bench | make gpu: each first sets up a virtual environment with what it needs. In a bundle
# (make gpu-bundle), make gpu uses the packages of PYTHON, and the bundle's own wheels for what that lacks.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: train test test-fast lint bench gpu gpu-bundle setup setup-dev clean

train: setup
	$(BIN)/python train.py $(ARGS)

test: setup-dev
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

test-fast: setup-dev
	$(BIN)/python -m pytest -q -n 2 -m "not slow" $(ARGS)

lint: setup-dev
	$(BIN)/ruff check .

bench: setup-dev
	$(BIN)/python -m benchmarks.run $(ARGS)

ifneq ($(wildcard wheels/requirements.txt),)
gpu: .wheels/.installed
	PYTHONPATH="$(CURDIR)/.wheels:$(CURDIR)" $(PYTHON) -m benchmarks.gpu $(ARGS)

.wheels/.installed: wheels/requirements.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --upgrade \
		--find-links wheels --target .wheels -r wheels/requirements.txt
	@touch $@
else
gpu: setup-dev
	$(BIN)/python -m benchmarks.gpu $(ARGS)
endif

gpu-bundle: setup-dev
	$(BIN)/python -m benchmarks.gpu_bundle $(ARGS)

setup: $(VENV)/.installed

setup-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=python3.11")'
	@echo "creating the environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: WHAT := --no-compile -e .
$(VENV)/.installed: TOLD := what training, prediction and the page need: about 90 packages, 1400 MB
$(VENV)/.installed-dev: WHAT := -e .[dev]
$(VENV)/.installed-dev: TOLD := what single options and the tests need as well: about 140 packages, 2350 MB

# One pip command for everything, so that the pins of fastNLP and torch are resolved together. What pip would compile
# is a fifth of the environment, and most of it is never imported: for training, only what is imported is compiled.
$(VENV)/.installed $(VENV)/.installed-dev: pyproject.toml requirements.txt | $(BIN)/python
	@echo "installing $(TOLD)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(WHAT)
	@echo "compiling what training and prediction import"
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import genner.app.job, genner.prediction.recogniser'
	@touch $(VENV)/.installed $@
	@echo "ready: $$($(BIN)/python -m pip list --format=freeze | wc -l) packages, $$(du -sm $(VENV) | cut -f1) MB in $(VENV)"

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache
