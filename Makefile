# make train [SPEC=path]   train the bundled churn model, or your own
# make test                everything CI runs
# make dev                 Dagster UI, sensors and schedules, MLflow and the study dashboard
PYTHON ?= $(shell for v in python3.12 python3.11 python3.13 python3; do \
	$$v -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$v && break; done)
SPEC ?= mt_assets/examples/customer_churn.yaml
BIN := .venv/bin

export MT_ASSETS_HOME ?= $(CURDIR)/.mt_assets
export DAGSTER_HOME ?= $(MT_ASSETS_HOME)/dagster

.PHONY: train test test-slow lint schemas dev clean

train: .venv/installed
	$(BIN)/mt-assets train $(SPEC)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow --timeout 1800

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

schemas: .venv/installed
	$(BIN)/python scripts/export_schemas.py

dev: .venv/installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/dev

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; install one, or run make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv
