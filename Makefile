# `make demo`, `make test`, `make lab` and `make bench` set up what they need; the rest expects `make setup` to have run.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: default setup demo test lint types unit live docs-check bench lab soak scraped clean

default: lint types unit docs-check

setup:
	@sh scripts/setup.sh test

demo:
	@sh scripts/setup.sh demo
	@$(BIN)/python scripts/demo.py

test:
	@sh scripts/setup.sh test
	@$(MAKE) --no-print-directory lint types
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

unit:
	$(BIN)/pytest tests/unit tests/cli -n $(WORKERS)

live:
	$(BIN)/pytest tests/live -n $(WORKERS) --dist loadgroup

docs-check:
	$(BIN)/pytest -q tests/unit/test_docs.py

lab:
	@sh scripts/setup.sh test
	$(BIN)/python -m tests.lab $(if $(ONLY),--only '$(ONLY)') $(if $(STACK),--stack $(STACK)) $(ARGUMENTS)

soak:
	$(BIN)/python -m tests.live.exporter_soak $(ARGUMENTS)

scraped:
	$(BIN)/python -m tests.lab.scraped $(ARGUMENTS)

bench:
	@sh scripts/setup.sh bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
