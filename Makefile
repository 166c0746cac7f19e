# make demo and make test each do all of their own set-up; they need Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-ci-slow mutants lint types docs clean

demo: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" sample_data/demo.sh

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Slow tests that CI runs too: killed and shared work, every kind of index, Milvus, and what is left outside.
# A file stays in one process, because its tests share a workspace that takes long to make.
CI_SLOW := tests/cli/test_streams.py tests/commands/test_crashes.py tests/commands/test_golden.py \
  tests/commands/test_default_backbone.py tests/commands/test_outside.py tests/commands/test_processes.py tests/commands/test_resume.py \
  tests/commands/test_train.py tests/commands/test_train_safety.py tests/catalog/test_shards.py tests/indexes/milvus \
  tests/learn/losses/test_losses.py tests/learn/losses/test_miners.py tests/learn/networks/test_onnx_export.py tests/learn/training/test_distributed.py \
  tests/learn/validation/test_synthetic_queries.py tests/docs/test_tutorial.py tests/catalog/test_splits.py \
  tests/server/test_guards.py tests/server/test_page.py tests/server/test_page_axe.py tests/server/test_page_states.py tests/test_interrupts.py

test-ci-slow: $(READY)
	$(BIN)/python -m pytest -m slow -n auto --dist loadfile $(CI_SLOW)

mutants: $(READY)
	$(BIN)/python tests/mutants.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,weights]'
	touch $@
