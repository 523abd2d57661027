# The two commands of the README: `make demo` and `make test`. Everything lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs league mutants clean

$(BIN)/ltbench: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(BIN)/ltbench
	$(BIN)/ltbench run

test: $(BIN)/ltbench
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: $(BIN)/ltbench
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(BIN)/ltbench
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

# Every committed study on one page, but for the first (results/first-study.md), which these supersede under the same names.
league: $(BIN)/ltbench
	$(BIN)/ltbench site $(patsubst %/bundle.json,%,$(wildcard results/second/*/bundle.json)) --out build/league

clean:
	rm -rf $(VENV) build dist site *.egg-info

mutants: $(BIN)/ltbench
	$(BIN)/python -m pip install --quiet cosmic-ray coverage
	$(BIN)/python -m benchmarks.mutants --report benchmarks/MUTANTS.md
