# Every target does all of its own set-up: a machine with make and Python 3.11 or newer is enough.
# The environment is .venv/; its stamps stand for "what pyproject.toml asks for is installed".

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.runtime-installed
DEV_STAMP := $(VENV)/.development-installed
S3_STAMP := $(VENV)/.s3-server-installed
MUTANTS_STAMP := $(VENV)/.mutants-installed
LOWEST := build/lowest
LOWEST_STAMP := $(LOWEST)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet

DEMO_DATABASE := data/demo/shop.duckdb
SOAK_SECONDS ?= 600
SOAK_SEED ?= $(shell date +%s)
HISTORIES ?= 10000
REAL_HISTORIES ?= 100
HISTORIES_SEED ?= $(shell date +%s)
SCHEMA_MODELS ?= 20000
SCHEMA_SEED ?= $(shell date +%s)
# So many requests of each story are disturbed by sweep-objects; all unless a number is given.
POINTS ?=
# Modules whose mutants are tried, by the names of tests/mutants/targets.py; all unless some are named.
TARGETS ?=
# Arguments for tests/mutants/run.py, such as MUTANTS_ARGS="--sample 10 --seed 1" or "--again survivors".
MUTANTS_ARGS ?=
# Arguments for pytest, such as PYTEST_ARGS="tests/unit -k layout".
PYTEST_ARGS ?=
# Tests of what a process keeps and prints: coverage itself keeps objects, and tells of a disk that is full.
NOT_COVERED := $(addprefix --deselect ,tests/unit/run/test_many_calls.py tests/unit/test_nothing_is_kept.py \
	tests/crash/test_no_space.py::test_a_limit_of_the_file_size_is_told_as_what_it_is)
# A process a core; more than four only compete for the disk.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help run run-s3 test test-oracle test-spark test-wheel test-lowest check lint format api-docs schemas-json coverage soak sweep sweep-objects soak-schemas soak-tables soak-windows
.PHONY: mutants bench-local bench-oracle bench-validation bench-spark bench-objects bench-tables clean clean-demo

help: ## Say what each target does.
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

run: $(RUN_STAMP) $(DEMO_DATABASE) ## Extract the demo database to Parquet; again: skip what is complete.
	@$(BIN)/statekeeper run configs/demo.yml

run-s3: $(S3_STAMP) $(DEMO_DATABASE) ## The same into a bucket, on an S3 server of this machine (SeaweedFS): run, show the objects, run again.
	@$(BIN)/python -m tests.s3_demo

test: $(DEV_STAMP) ## Run the tests.
	@$(PYTEST) $(PYTEST_ARGS)

# The user and the password are in the environment, not among the arguments of make: those are in the list of processes.
test-oracle: $(DEV_STAMP) ## Test against a real Oracle: DSN=host:port/service, with ORACLE_USER and ORACLE_PASSWORD set.
	@test -n "$(DSN)" && test -n "$$ORACLE_USER" && test -n "$$ORACLE_PASSWORD" || { \
		echo "usage: ORACLE_USER=... ORACLE_PASSWORD=... make test-oracle DSN=host:port/service" >&2; exit 2; }
	@ORACLE_DSN='$(DSN)' $(BIN)/python -m pytest -m oracle_live tests/oracle -s $(PYTEST_ARGS)

test-wheel: $(DEV_STAMP) ## Build the wheel, install it with Spark into an environment of its own, and run the Databricks job in it.
	@$(BIN)/python -m pytest -m wheel tests/wheel $(PYTEST_ARGS)

test-lowest: $(LOWEST_STAMP) ## The tests and those on Spark, on the lowest version that each dependency may have.
	@$(LOWEST)/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)
	@$(LOWEST)/bin/python -m pytest tests/spark tests/unit/engines/spark -m 'spark or not spark' $(PYTEST_ARGS)

check: lint test ## Everything that must hold: style, types, layers, generated files, tests.

lint: $(DEV_STAMP) ## The parts of `check` that are not tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/statekeeper schemas json --out schemas/json --check
	$(BIN)/python docs/make_api.py --check

format: $(DEV_STAMP) ## Format the code, and mend what the linter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

api-docs: ## Write docs/api.md anew from the docstrings.
	@$(PYTHON) docs/make_api.py

schemas-json: $(RUN_STAMP) ## Write schemas/json/ anew from the models.
	$(BIN)/statekeeper schemas json --out schemas/json

test-spark: $(DEV_STAMP) ## Test on Spark: every mode, with workers, executors and drivers killed in mid-run; 5 to 15 minutes.
	@$(BIN)/python -m pytest tests/spark tests/unit/engines/spark -m 'spark or not spark' $(PYTEST_ARGS)

coverage: $(DEV_STAMP) ## Run the tests with line and branch coverage, subprocesses included.
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-report=html:build/coverage $(NOT_COVERED) $(PYTEST_ARGS)

mutants: $(MUTANTS_STAMP) ## Change the code of decisions and see that a test fails: TARGETS="window resume" or all of them, which takes some minutes.
	@$(BIN)/python -m tests.mutants.run $(TARGETS) $(MUTANTS_ARGS)

soak: $(DEV_STAMP) ## Kill and resume runs at random, and let databases fail, for SOAK_SECONDS (default 600), from a new SOAK_SEED.
	@SOAK_SECONDS=$(SOAK_SECONDS) SOAK_SEED=$(SOAK_SEED) $(BIN)/python -m pytest -m soak -s tests/crash tests/oracle $(PYTEST_ARGS)

sweep: $(DEV_STAMP) ## Kill runs at every single durable step of every crash scenario, let the system refuse every call of a run, and resume; an hour or more.
	@$(PYTEST) -m sweep -s tests/crash --ignore-glob='*/test_object*' tests/unit/store/files/test_refusals.py \
		tests/unit/publish $(PYTEST_ARGS)

sweep-objects: $(DEV_STAMP) ## The same in object stores, at every request: all or POINTS of each story; races and readers; hours.
	@SWEEP_POINTS=$(POINTS) $(PYTEST) -m sweep -s tests/crash/test_object*.py tests/acceptance tests/oracle $(PYTEST_ARGS)

soak-schemas: $(DEV_STAMP) ## Compare scan and pydantic on SCHEMA_MODELS random models (default 20000), from a new SCHEMA_SEED.
	@SCHEMA_MODELS=$(SCHEMA_MODELS) SCHEMA_SEED=$(SCHEMA_SEED) $(BIN)/python -m pytest -m soak_schemas -s \
		tests/unit/schemas/rules/test_scan_equals_pydantic.py $(PYTEST_ARGS)

soak-tables: $(DEV_STAMP) ## Thirty tables, random events and commands for SOAK_SECONDS (default 600), from a new SOAK_SEED, beside an oracle.
	@SOAK_SECONDS=$(SOAK_SECONDS) SOAK_SEED=$(SOAK_SEED) $(BIN)/python -m pytest -m soak_tables -s tests/soak_tables $(PYTEST_ARGS)

soak-windows: $(DEV_STAMP) ## Play HISTORIES (default 10000) random histories of windows on the model, and REAL_HISTORIES (100) on each source.
	@HISTORIES=$(HISTORIES) REAL_HISTORIES=$(REAL_HISTORIES) HISTORIES_SEED=$(HISTORIES_SEED) \
		$(PYTEST) -s -n 0 tests/windows/test_histories.py $(PYTEST_ARGS)

bench-local: $(RUN_STAMP) ## DuckDB to Parquet: rows/s beside a bare loop, peak memory, where the time goes, 1,000 skips, one bad row of 20 million.
	@$(BIN)/python -m benchmarks.local.throughput
	@$(BIN)/python -m benchmarks.local.memory
	@$(BIN)/python -m benchmarks.local.phases
	@$(BIN)/python -m benchmarks.local.skip
	@$(BIN)/python -m benchmarks.local.one_bad_row
	@$(BIN)/python -m benchmarks.local.history

bench-oracle: $(DEV_STAMP) ## Oracle to Parquet: rows/s beside the bare driver loop and two exporters of PyPI.
	@$(BIN)/python -m benchmarks.oracle.throughput

bench-validation: $(RUN_STAMP) ## Validating staged Parquet: rows/s beside pydantic row by row and three libraries; memory.
	@$(BIN)/python -m benchmarks.validation.throughput

bench-spark: $(DEV_STAMP) ## DuckDB to Parquet on Spark: rows/s beside the local engine and Spark's own reader; 100 small tables.
	@$(BIN)/python -m benchmarks.spark.throughput

bench-objects: $(S3_STAMP) ## DuckDB to a bucket of a real S3 server on this machine: rows/s beside a local folder, the server's share, memory.
	@$(BIN)/python -m benchmarks.objects.throughput

bench-tables: $(DEV_STAMP) ## DuckDB to tables of each format in a folder, beside plain Parquet files: seconds, and what the commit adds.
	@$(BIN)/python -m benchmarks.tables.throughput

clean: ## Remove the environment, caches and build products; never data.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-demo: ## Remove the demo's database and what was extracted from it.
	rm -rf data/demo

$(DEMO_DATABASE): | $(RUN_STAMP)
	@mkdir -p $(@D)
	@$(BIN)/python configs/make_demo.py $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer was not found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml | $(BIN)/python
	@echo "installing statekeeper into $(VENV)"
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	@echo "installing statekeeper and its development tools into $(VENV)"
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --editable . --group dev
	@touch $@ $(RUN_STAMP) $(S3_STAMP)

$(S3_STAMP): pyproject.toml | $(BIN)/python
	@echo "installing statekeeper and an S3 server into $(VENV)"
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --editable '.[objects]' --group s3-server
	@touch $@ $(RUN_STAMP)

$(MUTANTS_STAMP): $(DEV_STAMP)
	@echo "installing cosmic-ray into $(VENV)"
	@$(PIP) install --group mutants
	@touch $@

$(LOWEST_STAMP): pyproject.toml tests/lowest/constraints.py | $(BIN)/python
	@echo "installing the lowest version of each dependency into $(LOWEST)"
	@$(BIN)/python -m venv --clear $(LOWEST)
	@$(BIN)/python -m tests.lowest.constraints >$(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check --no-input --quiet install 'pip>=25.1'
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check --no-input --quiet install --editable . --group test \
		--constraint $(LOWEST)/constraints.txt
	@touch $@
