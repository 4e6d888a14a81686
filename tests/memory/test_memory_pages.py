"""One large array for many tasks: how many copies of it there are, in the arena and in workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.plugins.scripts import LIMIT, script_environment

MIB = 1 << 20
SIZE = 256 * MIB
SLACK = 8 * MIB
"""Bytes for all else: tables, rings, the workers' own growth."""

_HEAD = """
import json, os, sys, threading, time
import numpy as np
import procession
from procession import _core
from tests.memory.figures import of_arena, private, rollup

SIZE = 256 << 20

def read(array):
    total = float(array.sum())
    time.sleep(0.01)  # so that each worker gets something to do
    return os.getpid(), total

def write(array):
    array[:] = 2
    return read(array)

def look(array):
    return float(array[-1])

def used():
    return _core.arena_statistics()["used"]

def everybody(pool, function, array):
    pids = set()
    while len(pids) < 2:
        for pid, total in pool.map(function, [array] * 8, 1):
            assert total == array.sum(), total
            pids.add(pid)
    return sorted(pids)
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run a text as a program; what it has printed, from JSON."""

    def run(text: str, *args: str) -> Any:
        path = tmp_path / "program.py"
        path.write_text(_HEAD + text)
        environment = script_environment()
        environment["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
        done = subprocess.run(
            [sys.executable, str(path), *args],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run


_SHARED = """
if __name__ == "__main__":
    array = procession.share(np.ones(SIZE // 8))
    with procession.get_context(sys.argv[1]).Pool(2) as pool:
        pids = everybody(pool, read, array[:8])
        before = {pid: private(rollup(pid)) for pid in pids}
        pages = used()
        assert everybody(pool, read, array) == pids
        print(json.dumps({
            "pages": used() - pages,
            "own": [private(rollup(pid)) - before[pid] for pid in pids],
            "mapped": [of_arena(pid)["Rss"] for pid in pids],
            "share": [of_arena(pid)["Pss"] for pid in pids],
        }))
    pool.join()
"""


def test_no_page_of_a_shared_array_is_copied(run: Any, method: str) -> None:
    told = run(_SHARED, method)
    assert told["pages"] <= SLACK
    assert max(told["own"]) <= SLACK
    # They have read it: it is mapped, and each pays a part of it, the other reader being another.
    assert min(told["mapped"]) >= SIZE
    assert max(told["share"]) <= SIZE // 2 + SLACK


_ARGUMENT = """
if __name__ == "__main__":
    array = np.ones(SIZE // 8)
    most, ended = [0], threading.Event()

    def watch():
        while not ended.wait(0.001):
            most[0] = max(most[0], used())

    with procession.get_context(sys.argv[1]).Pool(2) as pool:
        pool.map(look, [array[:8]] * 8, 1)
        before = used()
        watcher = threading.Thread(target=watch)
        watcher.start()
        for call in [pool.apply_async(look, (array,)) for _ in range(64)]:
            assert call.get() == 1
        ended.set()
        watcher.join()
    pool.join()
    print(json.dumps(most[0] - before))
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_an_argument_of_many_tasks_is_copied_three_times_at_most(run: Any, method: str) -> None:
    assert run(_ARGUMENT, method) <= 3 * SIZE + SLACK


_WRITTEN = """
if __name__ == "__main__":
    array = np.ones(SIZE // 32)
    with procession.get_context(sys.argv[1]).Pool(2) as pool:
        for _ in range(8):
            assert pool.apply(write, (array,))[1] == 2 * array.size
            assert pool.apply(read, (array,))[1] == array.size
    pool.join()
    print(json.dumps(float(array.sum()) == array.size))
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_what_a_task_writes_to_a_repeated_argument_is_its_own(run: Any, method: str) -> None:
    assert run(_WRITTEN, method) is True
