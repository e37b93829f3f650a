# Two commands are enough:  make demo   and   make test
# PYTHON picks the interpreter (3.11 to 3.13), PIP_ARGS is handed to pip.

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: help install demo test suites conformance proofs chaos fuzz benchmark docs lint clean

help:
	@echo "make demo      install, run the digits grid on all five backends, and say where the report is"
	@echo "make test      install, run the tests"
	@echo "make install   make .venv with the pinned versions of everything"
	@echo "make suites    what takes minutes: the suites in every backend, every check in Keras and TensorFlow, PostgreSQL"
	@echo "make conformance  scikit-learn's own checks of the estimators in every backend: some minutes more"
	@echo "make proofs    what takes longer still: the tutorial's ladders, more planted causes"
	@echo "make chaos     300 trials while 60 workers and 20 runs are killed (Linux): some minutes more"
	@echo "make fuzz      some thousands of broken files, stores and command lines, drawn anew"
	@echo "make benchmark our sweep against what people run today, into docs/benchmarks.md: half an hour"
	@echo "make docs      the documentation site, built strictly into site/"
	@echo "make lint      ruff, mypy and import-linter"
	@echo "make clean     remove .venv, results and caches"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; say which one is: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[all,docs,test]"
	@touch .venv/installed

demo: install
	$(BIN)/harness run digits-grid

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

suites: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m suite

conformance: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m conformance

proofs: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m proof

chaos: install
	$(BIN)/python -m tests.storm

fuzz: install
	HARNESS_FUZZ=1 $(BIN)/python -m pytest -n 2 --dist worksteal -rP tests/test_fuzz.py tests/test_broken_rows.py

benchmark: install
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[benchmark]"
	$(BIN)/python -m benchmarks

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf .venv results site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
