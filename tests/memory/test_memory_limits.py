"""Few addresses, few promises of memory: a smaller arena, errors where it is too small."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.memory.surroundings import run, went_well
from tests.plugins.scripts import RunScript

MIB, GIB = 1 << 20, 1 << 30


def addresses(most: int) -> Callable[[], None]:
    """Sets the limit in the process that calls it."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))


@pytest.mark.parametrize("limit", [16 * GIB, 2 * GIB])
def test_few_addresses(method: str, limit: int) -> None:
    # A library of numpy's maps addresses for as many threads as there are cores.
    went_well(run(method, 8 * MIB, setting=addresses(limit), OPENBLAS_NUM_THREADS="1"))


_TOO_MUCH = """
import gc, resource, sys
import numpy as np
import procession

def total(array):
    return float(array.sum())

def make(length):
    return np.ones(length)

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    many = (800 << 20) // 8  # more than a quarter of all addresses
    with procession.get_context(sys.argv[1]).Pool(1) as pool:
        for function, argument in ((total, np.ones(many)), (make, many)):
            try:
                pool.apply(function, (argument,))
            except MemoryError as error:
                print("MemoryError", flush=True)
            argument = None
            gc.collect()
            print(pool.apply(total, (np.ones(1 << 20),)), flush=True)
    pool.join()
"""


def test_more_than_the_addresses_hold_is_an_error(run_script: RunScript, method: str) -> None:
    """And the pool lives on."""
    done = run_script(_TOO_MUCH, method, OPENBLAS_NUM_THREADS="1")
    assert done.stdout.split() == ["MemoryError", "1048576.0"] * 2, done.stderr
    assert done.returncode == 0


_SAID = """
import logging, resource, sys
import procession
if sys.argv[1] == "limited":
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
if sys.argv[2] == "log":
    procession.log_to_stderr()
if sys.argv[2] == "root":
    logging.basicConfig()
lock = procession.Lock()
lock = procession.Lock()
print(procession.memory().budget >> 20)
"""


@pytest.mark.parametrize(
    ("limited", "log", "lines"),
    [("limited", "log", 1), ("limited", "root", 1), ("limited", "-", 0), ("free", "log", 0)],
)
def test_a_smaller_arena_is_said_in_the_log(
    run_script: RunScript, limited: str, log: str, lines: int
) -> None:
    """Once, and only where the program has a log."""
    done = run_script(_SAID, limited, log)
    assert done.returncode == 0
    said = done.stderr.splitlines()
    assert len(said) == lines, said
    room = f"room for {done.stdout.strip()} MiB, as"  # what there may be, its tables not counted
    assert all(room in line and "WARNING" in line for line in said)


_LOOK = """
import resource
import procession
lock = procession.Lock()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20),) * 2)
print(procession.memory().budget > 0)
"""


def test_a_look_needs_no_addresses(run_script: RunScript) -> None:
    done = run_script(_LOOK)
    assert done.stdout.split() == ["True"], done.stderr


_CLOSED = """
import os, sys
import procession
os.close(0)
os.close(1)
with procession.Pool(1, memory=1 << 30) as pool:
    streams = [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1)]
    print(pool.apply(abs, (-1,)), *streams, file=sys.stderr)
"""


def test_no_memory_takes_the_place_of_a_closed_stream(run_script: RunScript) -> None:
    done = run_script(_CLOSED)
    assert done.stderr.split() == ["1", "/dev/null", "/dev/null"]


@pytest.fixture
def strict() -> Iterator[None]:
    """The system promises no more memory than there is."""
    if "PROCESSION_STRICT_MEMORY" not in os.environ:
        pytest.skip("changes vm.overcommit_memory of the machine; set PROCESSION_STRICT_MEMORY")
    setting = Path("/proc/sys/vm/overcommit_memory")
    before = setting.read_text()
    try:
        setting.write_text("2")
    except OSError as error:
        pytest.skip(f"vm.overcommit_memory can not be changed here: {error}")
    try:
        yield
    finally:
        setting.write_text(before)


@pytest.mark.usefixtures("strict")
def test_strict_accounting_of_memory(method: str) -> None:
    went_well(run(method, 8 * MIB))
