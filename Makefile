# Every target makes what it needs, its own virtual environment too. Nothing here wants root.

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	command -v $$python >/dev/null 2>&1 && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

# The tests start this program a thousand times: compiling it anew each time would take longer than all else.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-aws demo-clean demo-headless test check format bench bench-long screenshots clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.demo  ## real servers, real traffic, on this machine only; again finds what runs
	@$(BIN)/mlconsole demo $(DEMO)

demo-aws: $(VENV)/.demo-aws  ## the same on AWS's own protocols: servers of SageMaker, AppConfig and CloudWatch on this machine
	@$(BIN)/mlconsole demo --aws $(DEMO)-aws

demo-clean:  ## stop all that the demo started, and remove its folder
	@if [ -x $(BIN)/mlconsole ]; then $(BIN)/mlconsole demo $(DEMO) --clean; if [ -d $(DEMO)-aws ]; then $(BIN)/mlconsole demo $(DEMO)-aws --clean; fi; else echo "Nothing to do: the demo was never made."; fi

demo-headless: $(VENV)/.demo  ## walk deploy, shift, shadow, revert, publish; check each against what is observed; clean up
	@$(BIN)/mlconsole demo --headless

test: $(VENV)/.dev  ## the whole test suite, real servers and all
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.dev  ## lint, format, types, direction of the imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev  ## lay the code out as `check` wants it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev  ## what is claimed, measured as ratios within one run (under 10 minutes)
	@$(BIN)/python -m tests.bench

bench-long: $(VENV)/.dev  ## the same with the full counts
	@$(BIN)/python -m tests.bench --long

screenshots: $(VENV)/.demo  ## pictures of the running program, into screenshots/
	@$(BIN)/python screenshots/make.py

clean: demo-clean  ## remove the virtual environment and all caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed, and none was found. Name one: make PYTHON=/path/to/python3.12 ..."; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) can't make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@began=$$(date +%s); echo "1/5 python environment   the first time about 1 min ..."; \
		$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo]' && \
		echo "1/5 python environment   ok $$(( $$(date +%s) - began )) s" && touch $@

$(VENV)/.demo-aws: pyproject.toml | $(VENV)/bin/python
	@began=$$(date +%s); echo "1/5 python environment   the first time about 1 min ..."; \
		$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo-aws]' && \
		echo "1/5 python environment   ok $$(( $$(date +%s) - began )) s" && touch $@ $(VENV)/.demo

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing the tools for development (the first time about 1 min) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.demo-aws
