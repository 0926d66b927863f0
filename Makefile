# `make demo` and `make test` do all of their own set-up: a virtual environment, the installation, the build.

PYTHON ?= python3
VENV ?= .venv
# The CPU build of torch. For a GPU: make TORCH=torch TORCH_INDEX=https://pypi.org/simple
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
OUT ?= demo

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := setup.py pyproject.toml $(wildcard csrc/*.* csrc/*/*.* csrc/*/*/*.*)

.PHONY: help demo test lint check clean

help:
	@echo 'make demo   draw people, train the four stages, dress them: results in $(OUT)/'
	@echo 'make test   run the tests'
	@echo 'make lint   check formatting, style and types'
	@echo 'make check  lint and test'
	@echo 'make clean  remove the environment and what was built'

demo: $(VENV)/.installed
	$(BIN)/tryon demo --out $(OUT)

test: $(VENV)/.tested
	$(BIN)/python -m pytest

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(wildcard csrc/*.* csrc/*/*.* csrc/*/*/*.*)

check: lint test

clean:
	rm -rf $(VENV) build dist *.egg-info tryon_kernels/*.so tryon_kernels/_build.json

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --retries 1 --extra-index-url $(TORCH_INDEX) '$(TORCH)'
	touch $@

$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	$(PIP) install --editable '.[evaluate]'
	$(BIN)/python -m tryon_kernels
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) install --editable '.[test,dev]'
	touch $@
