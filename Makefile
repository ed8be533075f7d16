# The commands of the project; `make` alone lists them. Each sets up what it needs, once.
VENV ?= .venv
# The interpreter for $(VENV); empty: the newest supported one that tools/find-python finds.
PYTHON ?=
# Test processes. The suite starts processes of its own, so more than the cores do not help.
WORKERS ?= 2

PY = $(VENV)/bin/python
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist worksteal
ALL_EXTRAS = cli,examples,tables,test,docs,dev,bench

.PHONY: help demo test test-slow test-all fast bench bench-full bench-compare lint format docs lock wheel clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

demo: $(VENV)/.demo ## run the example: a sweep over handwritten digits, cached
	$(PY) examples/digits.py --cluster local

test: lint ## check style and types, then run the suite (the slow tests too where CI is set)
	$(PYTEST) $(if $(CI),--durations=20,-m "not slow")

fast: $(VENV)/.test ## run the suite without its slow tests, and without the checks
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.test ## run the slow tests: crashes by the hundred, races, long properties
	$(PYTEST) -m slow

test-all: ## run the fast suite on each supported Python that the machine has
	@failed=; for python in $$(tools/find-python --all); do \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "== Python $$version"; \
	    $(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=$$python fast || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "Failed on Python$$failed"; exit 1; fi

bench: $(VENV)/.bench ## time what the library does beside exca and floors written by hand: two minutes
	$(PY) -m benchmarks

bench-full: $(VENV)/.bench ## the same at full size, beside all peers: write the table of docs/benchmarks.md
	$(PY) -m benchmarks --full --write docs/benchmarks.md

bench-compare: $(VENV)/.bench ## name what got slower by more than a fifth since benchmarks/baseline.json
	$(PY) -m benchmarks compare

lint: $(VENV)/.test ## check style (ruff) and types (mypy --strict)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: $(VENV)/.test ## rewrite the code in the project's style
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

docs: $(VENV)/.test ## build the documentation into site/, where a broken link or reference fails
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet

# Resolved on the oldest supported Python: what it needs includes what newer ones need (tests/test_lock.py checks).
lock: ## choose the newest versions of everything, and write them to constraints.txt
	rm -rf .venv-lock
	python=$$(tools/find-python --all | tail -n 1); \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	    || { echo "make lock needs Python 3.11, the oldest supported one"; exit 1; }; \
	tools/make-venv .venv-lock $$python
	.venv-lock/bin/python -m pip install --quiet --upgrade pip setuptools
	.venv-lock/bin/python -m pip install --quiet --no-build-isolation --editable '.[$(ALL_EXTRAS)]'
	{ grep '^#' constraints.txt; .venv-lock/bin/python -m pip freeze --all --exclude cachedmodel; } > .venv-lock/pins
	mv .venv-lock/pins constraints.txt
	rm -rf .venv-lock

wheel: $(VENV)/.test ## build the wheel into dist/
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove what the commands above made
	rm -rf .venv .venv-* build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.base: constraints.txt tools/make-venv
	tools/make-venv $(VENV) $(PYTHON)
	$(INSTALL) pip setuptools
	@touch $@

$(VENV)/.demo: $(VENV)/.base pyproject.toml
	$(INSTALL) --no-build-isolation --editable '.[examples]'
	@touch $@

$(VENV)/.bench: $(VENV)/.base pyproject.toml
	$(INSTALL) --no-build-isolation --editable '.[bench]'
	@touch $@

$(VENV)/.test: $(VENV)/.base pyproject.toml
	$(INSTALL) --no-build-isolation --editable '.[$(ALL_EXTRAS)]'
	@touch $@
