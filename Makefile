# Each target sets up what it needs: the first run creates .venv (a minute or two), later ones
# start at once. Another Python: make PYTHON=python3.12 demo

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.installed
PYTHON  ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
             $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
             && echo $$python && break; done)
WORKERS ?= 2

.PHONY: demo test coverage fuzz fuzz-inputs fuzz-operators lint format types wheel docs clean
.SILENT:

demo: $(READY)
	$(BIN)/python examples/demo.py

# One thread per worker: fixed thread counts make bounds repeatable, and the workers share cores.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

# The same tests, and a table of the lines of boundmesh/ that none of them runs.
coverage: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) \
	    --cov --cov-report=term-missing:skip-covered

# First a fixed number of calls with random input, then random networks until Ctrl-C.
SEED  ?= 1000
CALLS ?= 10000
fuzz: fuzz-inputs fuzz-operators

# Random text, bytes, options and arguments for the readers, the command line and the Python API.
# Each call must end in an answer or a BoundmeshError.
fuzz-inputs: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fuzz.py --calls $(CALLS) --seed $(SEED)

# Random forms of every ONNX operator against ONNX Runtime, until one differs or Ctrl-C.
fuzz-operators: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.operators $(SEED)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Rewrites the code in the form that `make lint` expects.
format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

# Builds dist/*.whl, installs it in an empty environment, and proves an example with its command.
wheel: $(READY)
	$(BIN)/python -m hatchling build --target wheel
	$(BIN)/python -m pytest -q tests/test_wheel.py

# The documentation site, in build/site; every warning is an error. While writing:
# .venv/bin/python docs/site/make_site.py --serve
docs: $(READY) $(VENV)/.docs
	$(BIN)/python docs/site/make_site.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .coverage

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[docs]'
	touch $@

$(READY): pyproject.toml constraints.txt
	test -n "$(PYTHON)" || { echo "boundmesh needs Python 3.11 or newer; none was found." >&2; exit 2; }
	echo "setting up $(VENV) with $(PYTHON): a minute or two, once" >&2
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[test]'
	touch $@
