# Every target does its own set-up; each step says what it does. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BROWSERS := chrome firefox webkitgtk
# The main job: one real model at every precision, through both platforms, in every browser there is.
DEMO := --platform both --model all-MiniLM-L6-v2 --bits 16 --bits 8 --bits 4 --bits 2 \
	--sequence-length 16 --max-seconds 2 $(addprefix --browser ,$(BROWSERS))
# And a language model that writes a few words.
DEMO_TEXT := --model smollm2-135m --bits 4 --sequence-length 16 --generate 8 --max-seconds 1 \
	--browser chrome --browser firefox
PIP := $(BIN)/pip install --no-input --disable-pip-version-check --no-compile --progress-bar off
# What is never imported need not be compiled, which takes pip longer than all else.
# Of pip's many words: each package as it comes, and that it now installs them.
PIP_LINES := s/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected.*/  installing/p
PYTEST := $(BIN)/pytest -q
TORCH_CPU := torch==2.13.0+cpu
# Who shares a worker: tests/conftest.py.
PARALLEL := -n auto --maxprocesses 8 --dist loadgroup
# A browser spends half of a test in waiting: two at a time.
TWO := -n 2 --dist loadgroup

say = @printf '\n== %s\n' "$(1)"

# Compiled once and kept with the environment, whatever the shell says: the tests start `bench` hundreds of
# times, and compiling what it imports takes a second each time.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache

.PHONY: help demo test test-long lint format types docs site notebooks venv browsers engines postgresql java reference benchmark clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run browsers ## set everything up, measure a real model in real browsers, print a table, write a report
	$(call say,measuring: a row for each browser and platform and precision)
	@name=demo-$$(date +%Y%m%d-%H%M%S); status=0; \
	$(BIN)/bench run $(DEMO) --name $$name || status=$$?; \
	if [ $$status = 2 ] || [ $$status = 130 ]; then exit $$status; fi; \
	printf '\n'; $(BIN)/bench run $(DEMO_TEXT) --name $$name-text || status=$$?; \
	if [ $$status = 2 ] || [ $$status = 130 ]; then exit $$status; fi; \
	printf '\nreport: '; $(BIN)/bench report --where "campaign in ($$name, $$name-text)"; exit $$status

# Both calls always run, so that one failure does not hide another.
both = @status=0; \
	printf '\n== pytest: tests that start no browser\n'; \
	$(PYTEST) $(PARALLEL) -m "not browser$(1)" || status=$$?; \
	printf '\n== pytest: tests in real browsers\n'; \
	$(PYTEST) $(TWO) -m "browser$(1)" || status=$$?; \
	exit $$status

test: lint types browsers engines postgresql java $(VENV)/.reference ## everything a change must pass, within 15 minutes on 2 cores
	$(call both, and not long)

test-long: lint types browsers engines postgresql java reference ## the same with the long form of every test
	$(call both,)

lint: $(VENV)/.dev ## ruff and mypy
	$(call say,ruff and mypy)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict

types: node_modules/.stamp ## the pages' JavaScript against its types
	$(call say,tsc on bench/pages)
	@node_modules/.bin/tsc --project bench/pages/tsconfig.json

format: $(VENV)/.dev ## put every Python file into the house's form
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

docs: $(VENV)/.dev ## write the pages anew that are made of the code and of published runs
	@$(BIN)/python docs/generate.py

notebooks: $(VENV)/.dev ## execute the notebooks anew and save what they say
	@$(BIN)/python notebooks/execute.py

# Material's note about its successor is no news to whoever only reads these docs.
site: $(VENV)/.dev node_modules/.stamp ## the documentation as a site in site/, readable without a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

benchmark: $(VENV)/.dev browsers ## what the harness itself costs, and how fast each kernel is
	@for script in benchmarks/*.py; do printf '\n== %s\n' "$$script"; $(BIN)/python "$$script"; done

venv: $(VENV)/.dev ## the virtual environment with the tools for development

browsers: $(VENV)/.run ## the browsers that package registries have; the others show as unavailable
	$(call say,browsers: $(BROWSERS))
	@$(BIN)/bench browsers install $(BROWSERS) || echo "going on with the browsers that are there"

engines: $(VENV)/.run ## the engines that package registries have: onnxruntime-web
	$(call say,engines: onnxruntime-web)
	@$(BIN)/bench engines install || echo "going on with the engines that are there"

postgresql: ## the server that some tests start for themselves; without it they are skipped
	$(call say,PostgreSQL)
	@scripts/get-postgresql

java: ## what runs the Selenium Grid of some tests; without it they are skipped
	$(call say,Java)
	@scripts/get-java

clean: ## remove what these targets made in this folder; results, browsers and weights stay
	rm -rf $(VENV) node_modules build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Two steps, because the demo needs none of the tools for development.
$(VENV)/.run: pyproject.toml scripts/make-venv
	$(call say,virtual environment in $(VENV))
	@scripts/make-venv "$(PYTHON)" $(VENV)
	$(call say,the package and what it needs)
	@$(PIP) -e . | sed -un '$(PIP_LINES)'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(call say,tools for development)
	@$(PIP) -e '.[dev]' | sed -un '$(PIP_LINES)'
	@touch $@

# PyTorch from the registry brings gigabytes of CUDA; the build for processors alone, where pip is set to find
# it, takes seconds. Without it those tests are skipped, unless `make reference` is typed.
$(VENV)/.reference: $(VENV)/.dev
	$(call say,PyTorch and transformers: what the reference is compared with)
	@if $(PIP) --quiet '$(TORCH_CPU)' >/dev/null 2>&1; then \
	$(PIP) -e '.[reference]' | sed -un '$(PIP_LINES)'; \
	else echo 'no $(TORCH_CPU) here: its tests are skipped; make reference installs the default build'; fi
	@touch $@

reference: $(VENV)/.reference ## the same whatever it takes: the default build of PyTorch where there is no smaller one
	@$(BIN)/python -c 'import transformers, torch' 2>/dev/null || $(PIP) -e '.[reference]' | sed -un '$(PIP_LINES)'

node_modules/.stamp: package.json package-lock.json
	$(call say,TypeScript and the WebGPU types)
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
