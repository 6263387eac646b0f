# make demo   the whole loop on a synthetic line, then a panel to click in (ARGS=--exit: stop afterwards)
# make test   style, types, import rules, tests
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.lineside-installed
WORKERS ?= 2

.PHONY: demo test lint stubs clean help

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Lineside into $(VENV) (PyTorch, OpenCV, ONNX Runtime, ...; minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/lineside demo $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Tests start real processes and share two cores: one that fails is run once more by itself, and both runs are shown.
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS) \
		|| $(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none

stubs: $(STAMP)
	$(BIN)/python scripts/gen_protos.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
