# Development commands; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8000
SAM_PORT ?= 3000
# Lambda's Python, for bytecode and benchmarks. With pyenv, `python3.13` may be a shim that only prints an error.
RUNTIME_PYTHON ?= $(shell for each in python3.13 "$$HOME"/.pyenv/versions/3.13.*/bin/python; do "$$each" -c '' 2>/dev/null && echo "$$each" && break; done)
# Every Python that consumers may use, for the bytecode of their layer.
RUNTIMES ?= $(RUNTIME_PYTHON) $(foreach version,3.11 3.12 3.14,$(shell for each in python$(version) "$$HOME"/.pyenv/versions/$(version).*/bin/python; do "$$each" -c '' 2>/dev/null && echo "$$each" && break; done))
ARCHITECTURE ?= arm64
# Architecture of this machine, for builds that run on it.
OWN_ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
BUILD := .aws-sam/build
FUNCTION ?=
# The folder for pip's reports of the installed wheels; empty for none.
REPORTS ?=
VENV := .venv
BIN := $(VENV)/bin
# Separate environments for the benchmark's peers, cosmic-ray and an emulator, which no other command needs.
BENCH_VENV := .venv-bench
MUTANTS_VENV := .venv-mutants
# The emulator of AWS of make test-deploy.
DEPLOY_VENV := .venv-deploy
# The build tools of make package.
PACKAGE_VENV := .venv-package
# The generators of clients and newman, of make test-clients.
CLIENTS_VENV := .venv-clients
CLIENTS_NPM := tests/clients/node_modules
BENCH_PYTHON ?= $(or $(RUNTIME_PYTHON),$(PYTHON))
export SAM_CLI_TELEMETRY := 0

# A path with a space is two words for make, and the rules and make clean would change the folder of the first one.
$(foreach name,VENV BENCH_VENV MUTANTS_VENV DEPLOY_VENV PACKAGE_VENV CLIENTS_VENV,$(if $(filter-out 1,$(words $($(name)))),\
	$(error $(name)=$($(name)) has a space or is empty: give the path of a folder without spaces, or omit it)))

.PHONY: help run token test coverage test-slow test-integration mutants fuzz lint types format bench openapi template docs lock build validate deploy smoke clean
.PHONY: sign-in docker sam-build sam-invoke sam-api test-e2e test-deploy test-browser screenshots bench-console package test-package test-clients release test-release runtime-python

help: ## List these commands
	@echo "Most used: make run, make test, make build, make deploy. All commands:"
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# Install a lock into a virtual environment. Messages go to stderr, so that stdout of `make -s token` is the token only.
INSTALL := -I tools/install.py
define REQUIRE_PYTHON
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Needs Python 3.11 or later, and found $$($(PYTHON) -V 2>/dev/null || echo 'no $(PYTHON)'). Try: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
endef

# The packages of `make run` alone.
$(VENV)/run: local/requirements.txt
	$(REQUIRE_PYTHON)
	@$(PYTHON) $(INSTALL) $< $@

# They are part of the development packages, in the same versions.
$(VENV)/ready: requirements-dev.txt
	$(REQUIRE_PYTHON)
	@$(PYTHON) $(INSTALL) $< $@ $(VENV)/run

# Install again if the interpreter of the environment has been removed, as by an upgrade of Python.
ifeq ($(shell test -x $(BIN)/python && echo yes),)
.PHONY: $(VENV)/run $(VENV)/ready
endif

run: $(VENV)/run ## Serve the console and the API on http://127.0.0.1:8000 (PORT=, FRESH=1, DEMO=1), without Docker or AWS
	@exec $(BIN)/python -m local run --port $(PORT)

token: $(VENV)/run ## Print an administrator's token for the local API (PORT= of a second run)
	@$(BIN)/python -m local token $(if $(filter-out file,$(origin PORT)),--port $(PORT))

test: lint types ## Check style and types, and run the fast tests
	@$(BIN)/pytest -m "not slow"

coverage: $(VENV)/ready ## Run the fast tests and check the coverage, as CI does; takes 50 % longer
	@$(BIN)/pytest -m "not slow" --cov --cov-report=term

test-slow: $(VENV)/ready ## Run the tests that wait for deadlines or many processes
	@$(BIN)/pytest -m slow tests/unit tests/functional tests/template

fuzz: $(VENV)/ready ## Send 2,240 generated valid and invalid requests (FUZZ_SEED= for others)
	@FUZZ_CALLS=320 $(BIN)/pytest -q --timeout=600 tests/functional/test_fuzz.py

test-integration: $(VENV)/ready ## Run the functional tests against another DynamoDB (DYNAMODB_ENDPOINT=http://127.0.0.1:8001)
	@[ -n "$(DYNAMODB_ENDPOINT)" ] || { echo "Which DynamoDB? Start one: docker run -p 127.0.0.1:8001:8000 amazon/dynamodb-local"; \
		echo "and then: make test-integration DYNAMODB_ENDPOINT=http://127.0.0.1:8001"; exit 2; }
	@AWS_ENDPOINT_URL_DYNAMODB=$(DYNAMODB_ENDPOINT) $(BIN)/pytest tests/functional $(PYTEST_OPTIONS)

$(MUTANTS_VENV)/ready: tools/requirements-mutants.txt
	@# Two dependencies of cosmic-ray are published only as source.
	@$(PYTHON) $(INSTALL) --sources $< $@

mutants: $(VENV)/ready $(MUTANTS_VENV)/ready ## Run the tests of one module on mutants (MODULE=usage, TESTS=; without MODULE: help)
	@nice $(BIN)/python tools/mutants.py --cosmic-ray "$(abspath $(MUTANTS_VENV))/bin/cosmic-ray" $(MODULE) $(TESTS)

lint: $(VENV)/ready ## Check the style and the template
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=layers/service_keys $(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/cfn-lint template.yaml docs/examples/deployer.yaml docs/examples/domain.yaml docs/examples/*/*.yaml

types: $(VENV)/ready ## Check types (mypy, strict)
	@$(BIN)/mypy functions layers local tests tools docs benchmarks

format: $(VENV)/ready ## Format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(BENCH_VENV)/ready: benchmarks/requirements.txt
	@$(BENCH_PYTHON) $(INSTALL) $< $@

bench: $(BENCH_VENV)/ready ## Measure performance and cost against peers (BENCH="--quick", "--only fleet", "--help")
	@$(BENCH_VENV)/bin/python -m benchmarks $(BENCH)

# The generated files are UTF-8 under every locale.
openapi template docs: export PYTHONUTF8 := 1
openapi: $(VENV)/ready ## Generate openapi.yaml from the models and the template, and docs/postman_collection.json from it
	@$(BIN)/python -m tools.generate_openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml
	@$(BIN)/python -m tools.generate_postman > docs/postman_collection.json.new && mv docs/postman_collection.json.new docs/postman_collection.json

template: $(VENV)/ready ## Generate the reader policies and the list of verifiable services in template.yaml
	@$(BIN)/python -m tools.generate_template > template.yaml.new && mv template.yaml.new template.yaml

docs: $(VENV)/ready ## Generate docs/permissions.md, docs/services.md and docs/faults.md
	@$(BIN)/python -m tools.generate_permissions_doc > docs/permissions.md.new && mv docs/permissions.md.new docs/permissions.md
	@$(BIN)/python -m tools.generate_services_doc > docs/services.md.new && mv docs/services.md.new docs/services.md
	@$(BIN)/python -m tools.generate_faults_doc > docs/faults.md.new && mv docs/faults.md.new docs/faults.md

# Pin the hashes of all files of a release. --universal: one lock with markers for all platforms and Pythons from 3.11 on.
LOCK := "$(abspath $(BIN))/uv" pip compile --quiet --generate-hashes --only-binary :all: \
	--custom-compile-command "make lock" --output-file
lock: $(VENV)/ready ## Resolve every requirements*.in to exact pins with hashes
	@$(LOCK) requirements-dev.txt --universal --python-version 3.11 $(LOCK_OPTIONS) requirements-dev.in
	@$(LOCK) local/requirements.txt --universal --python-version 3.11 --constraint requirements-dev.txt local/requirements.in
	@$(LOCK) benchmarks/requirements.txt --universal --python-version 3.11 $(LOCK_OPTIONS) benchmarks/requirements.in
	@$(subst --only-binary :all:,,$(LOCK)) tools/requirements-mutants.txt --universal --python-version 3.11 $(LOCK_OPTIONS) tools/requirements-mutants.in
	@$(LOCK) tools/requirements-package.txt --universal --python-version 3.11 $(LOCK_OPTIONS) tools/requirements-package.in
	@$(LOCK) tests/deploy/requirements.txt --universal --python-version 3.13 $(LOCK_OPTIONS) tests/deploy/requirements.in
	@$(LOCK) tests/clients/requirements.txt --universal --python-version 3.11 $(LOCK_OPTIONS) tests/clients/requirements.in
	@for folder in layers/admin functions/authorizer; do \
		(cd $$folder && $(LOCK) requirements.txt --python-version 3.13 --python-platform x86_64-manylinux2014 \
			--constraint ../../requirements-dev.txt requirements.in) || exit 1; \
	done

validate: $(VENV)/ready ## Validate the template with SAM
	@$(BIN)/sam validate

build: $(VENV)/ready ## Build and check the layers and the functions for ARCHITECTURE (arm64 or x86_64)
	@$(BIN)/python -m tools.generate_api_page
	@ARCHITECTURE=$(ARCHITECTURE) PYTHON="$(abspath $(BIN)/python)" RUNTIME_PYTHON="$(RUNTIME_PYTHON)" REPORTS="$(REPORTS)" \
		RUNTIMES="$(RUNTIMES)" $(BIN)/sam build --build-dir $(BUILD) \
		--parameter-overrides Architecture=$(ARCHITECTURE)
	@$(BIN)/python -m local artifacts --architecture $(ARCHITECTURE) --python "$(RUNTIME_PYTHON)" $(BUILD)

# The program reads PARAMETERS from the environment, to which make adds the variables of its command line; no shell
# splits or expands the values there. On the command line of make, $$ means one $.
deploy: $(VENV)/ready ## Deploy the output of make build (STAGE=dev or prod, PARAMETERS="Name=value ...", DEPLOY_OPTIONS=)
	@[ -n "$(STAGE)" ] || { echo "Which stage? make deploy STAGE=dev, or STAGE=prod" >&2; exit 2; }
	@exec $(BIN)/python -m local deploy "$(STAGE)" $(DEPLOY_OPTIONS)

sign-in: $(VENV)/run ## Sign in to a deployed stack in the browser and print an access token (STACK=service-keys)
	@[ -n "$(STACK)" ] || { echo "Which stack? make sign-in STACK=service-keys, or STACK=service-keys-dev" >&2; exit 2; }
	@exec $(BIN)/python -m tools.sign_in "$(STACK)"

smoke: $(VENV)/run ## Test a deployed API with a made-up, inactive key (STACK=; without it, make run's; REMOVE= an id)
	@exec $(BIN)/python -m tools.smoke --stack "$(STACK)" $(if $(filter-out file,$(origin PORT)),--port $(PORT)) $(if $(REMOVE),--remove "$(REMOVE)")

docker: $(VENV)/ready
	@$(BIN)/python -m local docker

sam-build:
	@$(MAKE) --no-print-directory build ARCHITECTURE=$(OWN_ARCHITECTURE) BUILD=.aws-sam/local

sam-invoke: docker sam-build ## Call the built FUNCTION in a container (needs Docker): make sam-invoke FUNCTION=CreateApiKey
	@exec $(BIN)/python -m local sam-invoke "$(FUNCTION)"

sam-api: docker sam-build ## Serve the API from containers on http://127.0.0.1:3000 (SAM_PORT=; needs Docker)
	@exec $(BIN)/python -m local sam-api --port $(SAM_PORT)

test-e2e: $(VENV)/ready ## Test the build in containers with Lambda's Python (needs Docker)
	@! $(BIN)/python -m local docker 2>/dev/null || $(MAKE) --no-print-directory sam-build
	@$(BIN)/pytest --numprocesses=0 tests/e2e

# Three processes even on two cores, because tests also wait for the browser.
test-browser: $(VENV)/ready ## Test the web console in Chromium (CHROMIUM= names another one; skipped without one)
	@$(BIN)/pytest --numprocesses=3 tests/browser

screenshots: $(VENV)/ready ## Take the screenshots of the web console in docs/images (needs Chromium)
	@$(BIN)/python -m tools.screenshots

bench-console: $(VENV)/ready ## Measure the web console: bytes, seconds, 10,000 keys (needs Chromium)
	@$(BIN)/python -m benchmarks.console

$(DEPLOY_VENV)/ready: tests/deploy/requirements.txt
	@[ -n "$(RUNTIME_PYTHON)" ] || { echo "Needs Python 3.13, which Lambda runs. Try: make RUNTIME_PYTHON=/path/to/python3.13 test-deploy" >&2; exit 1; }
	@$(RUNTIME_PYTHON) $(INSTALL) $< $@

test-deploy: $(VENV)/ready $(DEPLOY_VENV)/ready ## Deploy the build onto an emulator of AWS, and compare it with make run
	@$(MAKE) --no-print-directory build ARCHITECTURE=$(OWN_ARCHITECTURE) BUILD=.aws-sam/deploy
	@$(BIN)/pytest --numprocesses=0 --capture=no --exitfirst tests/deploy

$(PACKAGE_VENV)/ready: tools/requirements-package.txt
	@$(PYTHON) $(INSTALL) $< $@

# --no-isolation: the locked build backend of this environment.
package: $(PACKAGE_VENV)/ready ## Build and check the wheel and the sdist of service-keys, in dist/
	@rm -rf dist
	@$(PACKAGE_VENV)/bin/python -m build --no-isolation --outdir dist layers/service_keys
	@$(PACKAGE_VENV)/bin/python -m twine check --strict dist/*

test-package: $(VENV)/ready package ## Install the package with pip on each Python of this machine, and test it
	@$(BIN)/pytest --numprocesses=0 tests/package

runtime-python:
	@[ -n "$(RUNTIME_PYTHON)" ] || { echo "Needs Python 3.13, which Lambda runs. Try: make RUNTIME_PYTHON=/path/to/python3.13 $(MAKECMDGOALS)" >&2; exit 1; }

release: $(VENV)/ready $(PACKAGE_VENV)/ready ## Check that all places have one version, and build the release in dist/, reproducibly
	@exec $(BIN)/python -m tools.release --package-python "$(abspath $(PACKAGE_VENV))/bin/python" \
		--runtime-python "$(RUNTIME_PYTHON)" --runtimes "$(RUNTIMES)"

test-release: $(VENV)/ready $(PACKAGE_VENV)/ready runtime-python ## Build a release twice, in other circumstances, and compare the bytes
	@$(BIN)/pytest --numprocesses=0 tests/release

$(CLIENTS_VENV)/ready: tests/clients/requirements.txt
	@$(PYTHON) $(INSTALL) $< $@

# npm removes the folder first, and with it a file of an interrupted installation.
$(CLIENTS_NPM)/ready: tests/clients/package-lock.json
	@npm --version >/dev/null 2>&1 && node --eval 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b > 18) ? 0 : 1)' || \
		{ echo "Needs Node.js 20.19 or later with npm: https://nodejs.org/en/download" >&2; exit 1; }
	@echo "Installing what tests/clients/package-lock.json pins into $(CLIENTS_NPM) (once; half a minute) ..." >&2
	@npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	@touch $@

test-clients: $(VENV)/ready $(CLIENTS_VENV)/ready $(CLIENTS_NPM)/ready ## Generate clients from openapi.yaml and use them; run the Postman collection (needs npm)
	@$(BIN)/pytest --numprocesses=0 tests/clients

clean: ## Remove the output of the other commands, and the keys that make run keeps in .local
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf $(VENV) $(BENCH_VENV) $(MUTANTS_VENV) $(DEPLOY_VENV) $(PACKAGE_VENV) $(CLIENTS_VENV) $(CLIENTS_NPM) tests/clients/generated dist .local .aws-sam .mutants .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache openapi.yaml.new template.yaml.new
