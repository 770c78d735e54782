# Everything that is done often. `make demo` and `make test` need Python 3.11 or later and nothing
# else: they install what they need into .venv, once. What only tests, lint, chaos or benchmarks
# need is installed by the first of these.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first interpreter that is new enough and can make virtual environments.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$python; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.ready-test
CHAOS_READY := $(VENV)/.ready-chaos
BENCH_READY := $(VENV)/.ready-bench
LINT_READY := $(VENV)/.ready-lint
DOCS_READY := $(VENV)/.ready-docs
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
ROOMS := agents api benchmarks config domain infra ml services sinks streams

.PHONY: help install demo test test-unit test-servers test-containers compose-check chaos env images bench bench-check lint docs format \
	requirements env-example openapi asyncapi clean clean-data

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

install: $(READY) ## Install into .venv: .venv/bin/fecapass with the embedded servers

demo: $(READY) ## Run the whole pipeline on sample media (ARGS="--video FILE --photos DIR")
	$(BIN)/fecapass demo $(ARGS)

# Each part in several processes. Of the tests that need servers each process has its own set: more
# processes than cores, for much of it is waiting. An expression may choose none of a part (5).
# Where ARGS names files, all of them run in one process.
CHOSEN := $(filter tests/%,$(ARGS))
SERVERS ?= 3
CONTAINERS ?= 2
NONE_CHOSEN = [ $$? -eq 5 ]

ifeq ($(CHOSEN),)
test: test-unit test-servers ## Run all tests, units first, then on real servers (ARGS="-k expression")
else
test: $(TEST_READY)
	$(BIN)/python -m pytest $(ARGS)
endif

test-unit: $(TEST_READY) ## Run the tests that need no server (ARGS="-k expression")
	$(BIN)/python -m pytest $(if $(CHOSEN),,tests/unit) --numprocesses auto --dist worksteal $(ARGS) \
		|| $(NONE_CHOSEN)

test-servers: $(TEST_READY) ## Run the tests on real servers, several sets at once (SERVERS=3 ARGS="...")
	$(BIN)/python -m pytest $(if $(CHOSEN),,tests --ignore=tests/unit) --numprocesses $(SERVERS) \
		--dist loadscope --no-loadscope-reorder $(ARGS) || $(NONE_CHOSEN)

# Where servers make a difference: Apache Kafka and Redis are other programs than the embedded ones,
# PostgreSQL and SeaweedFS are the same. Tests of membership bring an Apache Kafka of their own.
ON_CONTAINERS := $(wildcard tests/contract/test_*.py) $(addprefix tests/end_to_end/, \
	$(addprefix api/test_,faces.py health.py live.py pipeline.py) \
	$(addsuffix .py,$(addprefix test_,crash dead_letters enrol erasure examples failover faust_hazards \
		follow follow_unknowns fresh_start header_names metrics model_change orderly_end pipeline \
		publish transactions workers)))

test-containers: $(TEST_READY) ## Run the tests that need servers against containers of the real ones
	FECAPASS_TEST_STACK=containers $(BIN)/python -m pytest $(ON_CONTAINERS) \
		--numprocesses $(CONTAINERS) --dist loadscope --no-loadscope-reorder $(ARGS)

compose-check: $(READY) ## Start docker-compose.yml for real, kill and scale workers, take it down
	$(BIN)/python -m tests.compose.check

env: ## Write .env with fresh passwords for docker-compose.yml (never over an old one)
	$(PYTHON) -m infra.env_file

images: ## Build the container images
	docker build -f Dockerfile.app -t fecapass-app:latest .
	docker build -f Dockerfile.gpu -t fecapass-gpu:latest .

chaos: $(CHAOS_READY) ## Inject faults into the running pipeline, then count (ARGS="--seconds 600 --seed 1")
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(BENCH_READY) ## Measure pipeline, latency, sinks, search, growth (ARGS="search --json FILE")
	$(BIN)/python -m benchmarks $(ARGS)

bench-check: $(BENCH_READY) ## Compare the ratios with the committed ones; fails on a loss of 15 %
	$(BIN)/python -m benchmarks check $(ARGS)

lint: $(LINT_READY) ## Check style, formatting, types, known holes and forgotten secrets
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(ROOMS)
	$(BIN)/python -m infra.checks.secrets
	$(BIN)/python -m infra.checks.known_vulnerabilities

docs: $(DOCS_READY) ## Build the documentation site into out/site; fails on a dead link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(LINT_READY) ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# All files out of one resolution: the smaller ones are held to the pins of the largest, which is
# installed by no target: it is what `make lint` looks up for known holes. Pins stay
# as they are where they still fit; UPGRADE=--upgrade takes the newest of all.
UV_VERSION := 0.13.9
UPGRADE ?=
COMPILE = $(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header $(UPGRADE)

requirements: $(READY) ## Write requirements*.txt anew from pyproject.toml (UPGRADE=--upgrade)
	$(PIP) install uv==$(UV_VERSION)
	$(COMPILE) --extra cpu --extra openvino --extra embedded --group dev pyproject.toml -o requirements-dev.txt
	$(COMPILE) --extra cpu --extra embedded --group build -c requirements-dev.txt pyproject.toml \
		-o requirements-demo.txt
	for group in test chaos bench lint docs; do \
		$(COMPILE) --group $$group -c requirements-dev.txt -o requirements-$$group.txt || exit 1; done
	$(COMPILE) --extra cpu -c requirements-dev.txt pyproject.toml -o requirements.txt
	$(COMPILE) --extra gpu -c requirements-dev.txt pyproject.toml -o requirements-gpu.txt
	$(COMPILE) --no-deps --group media -o requirements-media.txt

env-example: $(READY) ## Write .env.example anew from the settings
	$(BIN)/python -m infra.env_example

openapi: $(READY) ## Write docs/openapi.json anew from the code
	$(BIN)/python -m infra.openapi

asyncapi: $(TEST_READY) ## Write docs/asyncapi.json and docs/schemas/ anew from the code
	$(BIN)/python -m infra.asyncapi

clean: ## Remove .venv, caches and build results
	rm -rf $(VENV) build dist out *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Below a private directory, root's Postgres has its data elsewhere and a link here.
clean-data: ## Remove the data of the embedded servers (stop them first)
	if [ -L .fecapass/postgres ]; then rm -rf "$$(readlink .fecapass/postgres)"; fi
	rm -rf .fecapass

# Of two runs that begin at once, as in CI, the second waits for the first and finds it done: one pip
# at a time writes into an environment. The lock is on this file, and goes with its process.
ONE_AT_A_TIME := flock Makefile sh -ec

# The sample media are installed without their dependencies: only their files are used. The project
# itself is installed last, from here, with the setuptools that was pinned.
$(READY): requirements-demo.txt requirements-media.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "fecapass needs Python 3.11 or later with its venv module; none was found." >&2; \
		echo "Name one: make PYTHON=/path/to/python3.11 (Debian: apt-get install python3-venv)" >&2; \
		exit 1; fi
	@echo "Installing into $(VENV); this takes about a minute, once."
	@$(ONE_AT_A_TIME) 'for each in $^; do test $@ -nt $$each || set -- install; done; \
		test $$# -gt 0 || exit 0; \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(PIP) install --require-hashes -r requirements-demo.txt; \
		$(PIP) install --require-hashes --no-deps -r requirements-media.txt; \
		$(PIP) install --no-deps --no-build-isolation --no-index -e .; \
		touch $@'

# Groups of pyproject.toml, on top of that. Together they have the pins of one resolution.
$(TEST_READY) $(CHAOS_READY) $(BENCH_READY) $(LINT_READY) $(DOCS_READY): $(VENV)/.ready-%: requirements-%.txt $(READY)
	@echo "Installing what 'make $*' needs; this takes a moment, once."
	@$(ONE_AT_A_TIME) 'for each in $^; do test $@ -nt $$each || set -- install; done; \
		test $$# -gt 0 || exit 0; \
		$(PIP) install --require-hashes -r $<; \
		touch $@'
