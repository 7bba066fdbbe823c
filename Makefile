PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check --quiet
SOURCES := setup.cfg pyproject.toml constraints.txt

QUICK := tests/network tests/corpus tests/commands/test_output.py tests/test_imports.py wavenet

.PHONY: help fit test quick format coverage tensorboard clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

fit: $(VENV)/fit ## Set up .venv and train the default network
	$(VENV)/bin/python train.py fit

test: $(VENV)/test ## Set up .venv with the test tools, then run ruff, mypy and pytest
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

quick: $(VENV)/test ## Run ruff and the tests that need no training, in less than half a minute
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest $(QUICK)

format: $(VENV)/test ## Format the code and mend what ruff can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

coverage: $(VENV)/test ## Run the tests, show which lines they miss, and fail below the floor
	$(VENV)/bin/coverage run -m pytest
	$(VENV)/bin/coverage report

tensorboard: $(VENV)/fit ## Show the runs at http://localhost:6006
	$(VENV)/bin/tensorboard --logdir runs

clean: ## Remove .venv and caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis wavenet.egg-info

$(VENV)/fit: $(SOURCES)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/test: $(VENV)/fit
	$(PIP) install --constraint constraints.txt --editable '.[test,report,sweep,onnx]'
	touch $@
