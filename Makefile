# Two commands on a fresh machine: `make demo` and `make test`. They need Python 3.11 to 3.13, pip and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all test-gpu lint types docs audit install lock clean

demo: $(INSTALLED)
	$(BIN)/thalweg run examples/sample.yaml
	@echo
	@echo "Look at it in a browser:  $(BIN)/thalweg dashboard"

# Two at a time: many wait for servers and processes rather than compute. In the order of the folders: else the
# files with few tests come last, the longest among them, and one process ends long after the other.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(INSTALLED)
	$(PYTEST)

test-all: $(INSTALLED)
	$(PYTEST) -m ""

# On a machine with an NVIDIA GPU; elsewhere every test is skipped and says why.
test-gpu: $(INSTALLED)
	$(BIN)/pytest -m gpu -rs tests/models

install: $(INSTALLED)

# constraints.txt is the lock: exact versions of everything.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

lint: $(INSTALLED) types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=.types $(BIN)/lint-imports

# A folder of links shows type checkers the layout that the installed package has.
types: $(INSTALLED)
	mkdir -p .types/thalweg
	for f in src/thalweg/__init__.py src/thalweg/py.typed; do ln -sfn ../../$$f .types/thalweg/; done
	for d in flows models storage dashboard evaluation; do ln -sfn ../../$$d .types/thalweg/$$d; done
	$(BIN)/mypy -p thalweg

# The guides as a site, into `site/`.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Known vulnerabilities of what constraints.txt pins.
audit: $(INSTALLED)
	$(BIN)/python .ci/audit.py

# Resolve everything anew, then read the difference before committing it.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0
	.venv-lock/bin/pip install --quiet --editable ".[dev]"
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .types build site *.egg-info .pytest_cache .mypy_cache .ruff_cache
