# Each target installs what it needs into .venv; nothing else on the machine is touched.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.demo-ready
TEST_READY := $(VENV)/.test-ready
SAM_READY := $(VENV)/sam/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test chaos worlds prove bench docs lint format coverage lambda lock schemas clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## run the whole job on embedded parts, with the real daemon
	@$(BIN)/rotator demo $(DEMO)

# The fleets of real processes go first and alone: beside the other tests they would run short of processor time.
test: $(TEST_READY) $(SAM_READY) ## run the tests, with line and branch coverage
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -q tests/chaos
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup --ignore tests/chaos --cov --cov-report= $(TESTS)

chaos: $(TEST_READY) ## real processes, killed, stopped and cut off, beside a naive refresher (CHAOS="--help")
	@$(BIN)/python -m tests.chaos $(CHAOS)

worlds: $(TEST_READY) ## attack the promises in simulated worlds (WORLDS=100000 for more)
	@$(BIN)/python -m rotator.testing.sim --seeds $(or $(WORLDS),20000)

prove: $(TEST_READY) ## the long versions of all that tries to break a promise: hours; ends with one table
	@$(BIN)/python -m tests.prove $(PROVE)

bench: $(TEST_READY) $(SAM_READY) ## each benchmark against its floor, and the table of the goals (BENCH="--only a,b", BENCH=--quick)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

docs: $(TEST_READY) ## write docs/reference anew from the code
	@$(BIN)/python -m tests.docs.reference

coverage: $(TEST_READY) ## show what the last test run left uncovered; fails under the goal
	@$(BIN)/python -m coverage report

lint: $(TEST_READY) ## formatting, ruff, mypy --strict and the floors
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(TEST_READY) ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

# Wheels for Lambda's own Linux, each with its hash; the configuration goes beside them.
LAMBDA ?= build/lambda
CONFIG ?= deploy/lambda/rotator.yaml
lambda: $(if $(wildcard $(TEST_READY)),,$(DEMO_READY)) ## the package for AWS Lambda (CONFIG=rotator.yaml), in build/lambda
	@rm -rf $(LAMBDA) && mkdir -p $(LAMBDA)/.wheel
	@$(PIP) install --target $(LAMBDA) --no-compile --platform manylinux2014_x86_64 --python-version 3.11 \
	  --only-binary=:all: --require-hashes -r deploy/locks/lambda.txt
	@$(PIP) wheel --no-deps --no-build-isolation --no-index --wheel-dir $(LAMBDA)/.wheel .
	@$(PIP) install --target $(LAMBDA) --no-compile --no-deps --no-index $(LAMBDA)/.wheel/*.whl
	@rm -rf $(LAMBDA)/.wheel $(LAMBDA)/bin && cp $(CONFIG) $(LAMBDA)/rotator.yaml

lock: $(TEST_READY) ## renew the lock files in deploy/locks (needs uv)
	@for set in demo test run build lambda sam; do \
	  case $$set in \
	    demo) groups="--extra all --group build pyproject.toml";; \
	    test) groups="--extra all --group build --group test --group lint pyproject.toml";; \
	    run) groups="--extra aws --extra vault --extra daemon --extra otel --extra cli -c deploy/locks/demo.txt pyproject.toml";; \
	    sam) groups="--group sam";; \
	    build) groups="--group build -c deploy/locks/demo.txt";; \
	    lambda) groups="--extra aws --extra metrics -c deploy/locks/demo.txt pyproject.toml";; \
	  esac; \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate $$groups -o deploy/locks/$$set.txt; done

schemas: $(TEST_READY) ## renew the JSON Schemas that editors check configurations with
	@$(BIN)/python -m rotator.schemas --write

clean: ## remove what the targets made
	@rm -rf $(VENV) build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("rotator needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(DEMO_READY): deploy/locks/demo.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) …"
	@$(PIP) install --require-hashes -r deploy/locks/demo.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST_READY): deploy/locks/test.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) …"
	@$(PIP) install --require-hashes -r deploy/locks/test.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(DEMO_READY)

# SAM's own tool, with Lambda's emulator inside: its pins are not ours. The lock is whole, and pip is to look no further.
$(SAM_READY): deploy/locks/sam.txt | $(BIN)/python
	@$(PYTHON) -m venv $(VENV)/sam
	@$(VENV)/sam/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --require-hashes -r deploy/locks/sam.txt
	@touch $@
