# Everything happens in .venv, which each target makes and keeps up to date by itself.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
SCALE := .venv-scale
# Where they are: other tests need packages that are not in this environment.
SCALE_TESTS := tests/scale tests/contract tests/docs $(wildcard tests/joblib)
# Frames of libraries that have threads of their own: not in one process with all the others.
FRAME_TESTS := tests/pool/test_frames_of_polars.py tests/share/test_share_frames.py \
	tests/codec/test_codec_arrays.py tests/codec/test_codec_readonly.py
RUN := $(VENV)/bin/python
PYTEST := $(RUN) -m pytest
# Parts of the tests, each in a process of its own: see tests/plugins/lanes.py.
LANES := $(foreach lane,1 2 3 4 5 6 7 8 9 10,'$(PYTEST) --lane $(lane)/10')
# Whatever the environment says: a build must not end up in another interpreter's package.
export PYTHONPATH :=
# short or long; see CONTRIBUTING.md.
CHAOS ?= long

C_SOURCES := $(wildcard core/*.[ch] src/procession/_core/*.[ch])
CC ?= cc
C_STRICT := -std=c11 -O2 -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wcast-align -Wundef -Wvla -pthread -Icore

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-scale check bench chaos core-test failpoints clean

help:
	@echo "make demo       the main job on real input, beside serial and stdlib's Pool"
	@echo "make test       all tests: the C core under sanitizers, then pytest (ARGS=... for pytest)"
	@echo "make test-scale the tests beside Ray, Dask, loky, scikit-learn, polars, in an environment of their own"
	@echo "make check      linters, types, C warnings, structure of the code"
	@echo "make bench      the benchmarks, beside the rivals (ARGS=... for the benchmarks)"
	@echo "make chaos      tests that kill at random, for longer (CHAOS=short or long)"
	@echo "make core-test  only the C core's tests (ARGS=... picks by name)"
	@echo "make setup      .venv with the package and the tools, nothing else"
	@echo "make clean      remove what was built, and .venv"

demo: $(VENV)/.package
	$(RUN) examples/demo.py $(ARGS)

setup: $(VENV)/.package $(VENV)/.dev

test: setup failpoints
	$(RUN) tools/core_tests.py
ifeq ($(strip $(ARGS)),)
	$(RUN) tools/lanes.py $(LANES)
else
	$(PYTEST) $(ARGS)
endif

# The same tree in another environment; the extension is the same file for both.
test-scale: setup failpoints $(SCALE)/.scale
	$(SCALE)/bin/python -m pytest -m scale $(ARGS) $(SCALE_TESTS)
ifeq ($(strip $(ARGS)),)
	$(SCALE)/bin/python -m pytest $(FRAME_TESTS)
endif

core-test: $(RUN)
	$(RUN) tools/core_tests.py $(ARGS)

failpoints: setup
	@$(RUN) tools/build_failpoints.py > /dev/null

chaos: setup failpoints
	PROCESSION_CHAOS=$(CHAOS) $(PYTEST) -m chaos $(ARGS)

check: setup
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	@set -e; for source in core/*.c; do for points in -UPCN_FAILPOINTS -DPCN_FAILPOINTS; do \
		$(CC) $(C_STRICT) $$points -c $$source -o /dev/null; done; done
	@set -e; include=$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	for source in src/procession/_core/*.c; do \
		$(CC) $(C_STRICT) -DPy_LIMITED_API=0x030b0000 -isystem $$include -c $$source -o /dev/null; done
	@echo "C: no warnings"
	$(RUN) tools/check_sync.py
	$(PYTEST) -q tests/quality/test_layering.py tests/quality/test_files.py

bench: $(VENV)/.package $(VENV)/.bench
	$(RUN) -m benchmarks $(ARGS)

clean:
	rm -rf build dist $(VENV) $(SCALE) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf src/*.egg-info src/procession/_core/*.so
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Give one: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The package itself: again whenever the extension has to be built anew.
$(VENV)/.package: pyproject.toml setup.py $(C_SOURCES) | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# The tools. Dependency groups need pip 25.1.
$(VENV)/.dev: pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(RUN) -m pip install --quiet --group dev
	@touch $@

# The rivals, one by one: one that can not be installed here is named as skipped by the benchmarks.
$(VENV)/.bench: pyproject.toml | $(RUN)
	$(RUN) tools/install_each.py bench
	@touch $@

$(SCALE)/.scale: pyproject.toml $(VENV)/.package
	$(RUN) -m venv $(SCALE)
	$(SCALE)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(SCALE)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group scale
	@touch $@
