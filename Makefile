# One command for each thing a developer does; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8000
ARCHITECTURE ?= arm64
VENV := .venv
BIN := $(VENV)/bin
export SAM_CLI_TELEMETRY := 0

.PHONY: help run token test test-integration mutants lint types format bench openapi lock build validate clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Needs Python 3.11 or later, and found $$($(PYTHON) -V 2>/dev/null || echo 'no $(PYTHON)'). Try: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing what requirements-dev.txt pins into $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(VENV)/ready ## Serve the API on http://127.0.0.1:8000 (PORT=), without Docker or AWS
	@exec $(BIN)/python -m local run --port $(PORT)

token: $(VENV)/ready ## Print an administrator's token for the local API
	@$(BIN)/python -m local token

test: lint types ## Everything CI checks: lint, types, tests with coverage
	@$(BIN)/pytest --cov --cov-report=term

test-integration: $(VENV)/ready ## The functional tests against another DynamoDB (DYNAMODB_ENDPOINT=http://127.0.0.1:8001)
	@[ -n "$(DYNAMODB_ENDPOINT)" ] || { echo "Which DynamoDB? Start one: docker run -p 127.0.0.1:8001:8000 amazon/dynamodb-local"; \
		echo "and then: make test-integration DYNAMODB_ENDPOINT=http://127.0.0.1:8001"; exit 2; }
	@AWS_ENDPOINT_URL_DYNAMODB=$(DYNAMODB_ENDPOINT) $(BIN)/pytest tests/functional $(PYTEST_OPTIONS)

mutants: $(VENV)/ready ## Try the tests on mistakes that are put into the code (MODULE=reader for one; docs/mutants.md)
	@nice $(BIN)/python -m tests.mutation $(MODULE) $(MUTANTS_OPTIONS)

lint: $(VENV)/ready ## Check style, and the template
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/cfn-lint template.yaml

types: $(VENV)/ready ## Check types (mypy, strict)
	@$(BIN)/mypy functions layers local tests docs benchmarks

format: $(VENV)/ready ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/ready ## Measure a cached read beside its peers, and simulate a fleet
	@$(BIN)/python benchmarks/cached_read.py
	@echo
	@$(BIN)/python benchmarks/fleet.py

openapi: $(VENV)/ready ## Write openapi.yaml from the models and the template
	@$(BIN)/python -m local openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

lock: $(VENV)/ready ## Resolve requirements-dev.in into the exact pins of requirements-dev.txt
	@$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements-dev.txt $(LOCK_OPTIONS) requirements-dev.in

validate: $(VENV)/ready ## Validate the template as SAM sees it
	@$(BIN)/sam validate

build: $(VENV)/ready ## Build the layer and the functions for ARCHITECTURE (arm64 or x86_64)
	@ARCHITECTURE=$(ARCHITECTURE) PYTHON=$(abspath $(BIN)/python) $(BIN)/sam build --parameter-overrides Architecture=$(ARCHITECTURE)

clean: ## Remove what the other commands made
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf $(VENV) .local .aws-sam .mutants .coverage .mypy_cache .pytest_cache .ruff_cache openapi.yaml.new
