# Each target sets up what it needs: the first run creates .venv (a minute or two), later ones
# start at once. Another Python: make PYTHON=python3.12 demo

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.installed
PYTHON  ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
             $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
             && echo $$python && break; done)
WORKERS ?= 2

.PHONY: demo test fuzz lint clean
.SILENT:

demo: $(READY)
	$(BIN)/python examples/demo.py

# One thread per worker: fixed thread counts make bounds repeatable, and the workers share cores.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

# Random forms of every ONNX operator against ONNX Runtime, until one differs or Ctrl-C.
SEED ?= 1000
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.operators $(SEED)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache

$(READY): pyproject.toml constraints.txt
	test -n "$(PYTHON)" || { echo "boundmesh needs Python 3.11 or newer; none was found." >&2; exit 2; }
	echo "setting up $(VENV) with $(PYTHON): a minute or two, once" >&2
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[test]'
	touch $@
