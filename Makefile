# `make up` and `make test` set up all that they need; the rest is by name.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# The stamp says for which requirements the environment was made.
STAMP := .venv/.installed

.PHONY: help up down demo status test unit lint format bench lock install clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(STAMP) ## Bring the platform up on the embedded cloud
	$(BIN)/switchyard cloud up

down: $(STAMP) ## Stop the embedded cloud; all that was deployed to it is gone
	$(BIN)/switchyard cloud stop

demo: $(STAMP) ## Release a good version and a bad one under load, and draw what happens
	$(BIN)/switchyard demo

status: $(STAMP) ## Show what is up: resources, colours, weights
	$(BIN)/switchyard status

# Cloud tests wait for the provider most of their time: they come first, on more workers than cores.
test: lint $(STAMP) ## Run every test
	$(BIN)/python -m pytest tests/cloud tests/release tests/review tests/unit -q -n 6 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report term --cov-fail-under 85

unit: $(STAMP) ## Run the unit tests alone, in seconds
	$(BIN)/python -m pytest tests/unit -q -n auto

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## Put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## Run the benchmarks and print their figures
	$(BIN)/python -m bench

lock: $(STAMP) ## Pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.in.txt
	{ echo "# Made by 'make lock' from pyproject.toml."; grep -v '^ *#' requirements.in.txt; echo "-e ."; } > requirements.txt
	rm requirements.in.txt

install: $(STAMP) ## Make the virtual environment

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version); say PYTHON=python3.12, for one"; exit 1; }
	@echo "Making the virtual environment (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(STAMP)

clean: ## Stop the cloud and remove what was made here
	-@$(BIN)/switchyard cloud stop
	rm -rf .venv .switchyard .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
