"""What workers cost that do nothing, and that a worker's garbage collection copies nothing.

The program has a large heap of small objects, made before any worker. Each kind of pool is measured
in it, one after the other: a worker's share of all memory (PSS), and what it has for itself alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.plugins.scripts import LIMIT, RunScript, script_environment

MIB = 1 << 20
OBJECTS = 300_000  # about 70 MiB

MORE = 2 * MIB
"""A forked worker of ours may have more for itself than the standard library's: it has more to do
before its first task, and so has its parent. The heap that it must not copy is much larger."""

_PROGRAM = """
import gc, json, multiprocessing, os, sys, time
import procession
from tests.memory.figures import private, rollup

def idle(_):
    time.sleep(0.01)  # so that each worker gets something to do
    return os.getpid()

def collect(_):
    gc.collect()
    return idle(_)

def figures(pool, function):
    pids = set()
    while len(pids) < 2:
        pids.update(pool.map(function, range(8), 1))
    pool.apply(os.getpid)
    found = [rollup(pid) for pid in sorted(pids)]
    return {"pss": [each["Pss"] for each in found], "own": [private(each) for each in found]}

if __name__ == "__main__":
    heap = [[{"number": number}] for number in range(int(sys.argv[1]))]
    gc.collect()
    told = {}
    kinds = {
        "stdlib": multiprocessing.get_context("fork"),
        "fork": procession.get_context("fork"),
        "forkserver": procession.get_context("forkserver"),
    }
    for context in kinds.values():  # what is imported for it is there before the first measurement
        with context.Pool(2) as pool:
            pool.map(idle, range(4), 1)
        pool.join()
    for function in (idle, collect):
        for name, context in kinds.items():
            with context.Pool(2) as pool:
                told[f"{name} {function.__name__}"] = figures(pool, function)
            pool.join()
    told["heap"] = rollup(os.getpid())["Private_Dirty"]
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program has measured, once for all tests."""
    path = tmp_path_factory.mktemp("workers") / "program.py"
    path.write_text(_PROGRAM)
    environment = script_environment()
    environment["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, str(path), str(OBJECTS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["heap"] > 20 * MORE
    return found


@pytest.mark.parametrize("figure", ["pss", "own"])
def test_an_idle_worker_that_was_forked(told: dict[str, Any], figure: str) -> None:
    most = max(told["stdlib idle"][figure]) + MORE
    assert max(told["fork idle"][figure]) <= most


def test_an_idle_worker_that_the_zygote_has_forked(told: dict[str, Any]) -> None:
    assert max(told["forkserver idle"]["pss"]) <= min(told["stdlib idle"]["pss"])


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_collection_in_a_worker_copies_nothing(told: dict[str, Any], method: str) -> None:
    before, after = told[f"{method} idle"]["own"], told[f"{method} collect"]["own"]
    assert max(after) <= max(before) + MORE
    # It would, had the worker not been told to let go of what it was forked with.
    assert min(told["stdlib collect"]["own"]) > told["heap"] // 4


_ZYGOTE = """
import gc, procession

def look():
    print(gc.get_freeze_count() > 10 * len(gc.get_objects()))

if __name__ == "__main__":
    look()
    process = procession.get_context("forkserver").Process(target=look)
    process.start()
    process.join()
"""


def test_the_zygote_lets_the_collector_forget_what_it_has_imported(run_script: RunScript) -> None:
    """Seen by a plain process, which forgets nothing by itself."""
    done = run_script(_ZYGOTE)
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")
