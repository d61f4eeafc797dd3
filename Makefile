# Everything a newcomer needs: `make demo` and `make test`. Python 3.11+, git and make suffice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench lock asyncapi diagram clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything into .venv from the lock, hashes required

$(STAMP): requirements/bootstrap.txt requirements/lock.txt pyproject.toml
	@echo "==> installing into $(VENV) from requirements/lock.txt"
	@$(PYTHON) -c 'import sys; sys.exit("Stagewright needs Python 3.11 or newer; set PYTHON=python3.12, say") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --require-hashes -r requirements/lock.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## start the one-machine stack, run the order, prove the result, stop
	@$(BIN)/stagewright demo

test: $(STAMP) lint ## lint, types, layers and the whole test suite
	@$(BIN)/python -m pytest

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports

bench: $(STAMP) ## measure throughput and latency; writes build/bench.json
	@$(BIN)/python -m tests.bench.run

lock: $(STAMP) ## resolve the dependencies again
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --all-extras pyproject.toml -o requirements/lock.txt

asyncapi: $(STAMP) ## write docs/reference/asyncapi.json from the code
	@$(BIN)/python -m stagewright.asyncapi > docs/reference/asyncapi.json

diagram: $(STAMP) ## write docs/reference/saga.md from the code
	@$(BIN)/python -m orchestrator.diagram > docs/reference/saga.md

clean: ## remove what setup and runs left behind
	rm -rf $(VENV) build .stagewright .mypy_cache .ruff_cache .pytest_cache
