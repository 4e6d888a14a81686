"""Where pools are made and used: notebooks, main modules, threads, other pools, small limits."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.field.doors import PROGRAM_HEAD, Door, mp, square
from tests.plugins.scripts import LIMIT, RunScript, script_environment

CELLS = pytest.mark.parametrize(
    ("kind", "method"),
    [("Pool", "fork"), ("Pool", "spawn"), ("Pool", "forkserver"), ("Executor", "spawn")],
)

_TYPED_IN = """
factor = 3
class Box:
    def __init__(self, x):
        self.x = x
def times(box):
    return Box(box.x * factor)
made = door(2)
print([box.x for box in made.map(times, [Box(x) for x in range(4)])])
factor = 10
def times(box):
    return Box(factor * box.x)
print([box.x for box in made.map(times, [Box(x) for x in range(4)])])
print(list(made.map(lambda x: x + factor, range(4))))
made.terminate() if KIND == "Pool" else made.shutdown()
"""


@CELLS
def test_what_is_typed_in_travels(kind: str, method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM_HEAD + _TYPED_IN, kind, method],
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    expected = "[0, 3, 6, 9]\n[0, 10, 20, 30]\n[10, 11, 12, 13]\n"
    assert (done.stdout, done.stderr) == (expected, "")


_WITHOUT_GUARD = """
def times(x):
    return 3 * x
with door(2) as made:
    print(list(made.map(times, range(4))))
"""


@CELLS
def test_a_script_without_a_guard_does_not_start_itself_again_and_again(
    run_script: RunScript, kind: str, method: str
) -> None:
    done = run_script(PROGRAM_HEAD + _WITHOUT_GUARD, kind, method)
    assert done.stdout.count("[0, 3, 6, 9]") <= 1
    if done.returncode:
        assert "__main__" in done.stderr  # the error says what is to be done
    else:
        assert (done.stdout, done.stderr) == ("[0, 3, 6, 9]\n", "")


_WITH_A_LOCK = """
import logging, threading
lock = threading.Lock()
def use(x):
    with lock:
        logging.getLogger().warning("here %d", x)
    return x
def hold(held, done):
    with lock:
        held.set()
        done.wait()
if __name__ == "__main__":
    held, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold, args=(held, done), daemon=True)
    thread.start()
    held.wait()
    with door(2) as made:
        print(list(made.map(use, range(4))))
    done.set()
    thread.join()
"""


def test_a_lock_that_a_thread_has_does_not_hang_workers(
    run_script: RunScript, door: type[Door]
) -> None:
    done = run_script(PROGRAM_HEAD + _WITH_A_LOCK, door.name, "forkserver")
    assert done.stdout == "[0, 1, 2, 3]\n", done.stderr


# ---- in each other


def _squares_of_a_pool(door: type[Door], count: int) -> list[int]:
    with door(2) as pool:
        return pool.map(square, range(count))


def _squares_of_a_process(count: int) -> int:
    queue = mp.Queue()
    child = mp.Process(target=_put_squares, args=(queue, count))
    child.start()
    found: int = queue.get()
    child.join()
    child.close()
    return found


def _put_squares(queue: Any, count: int) -> None:
    queue.put(sum(x * x for x in range(count)))


def test_workers_may_have_pools_of_their_own(door: type[Door]) -> None:
    with door(2) as pool:
        results = [pool.submit(_squares_of_a_pool, door, count) for count in (3, 4)]
        assert [pool.get(result) for result in results] == [[0, 1, 4], [0, 1, 4, 9]]


def test_workers_may_have_children(door: type[Door]) -> None:
    with door(1) as pool:
        assert pool.call(_squares_of_a_process, 5) == 30


# ---- limits


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_worker_costs_two_descriptors_at_most(door: type[Door]) -> None:
    before = _descriptors()
    with door(24) as pool:
        pool.map(square, range(1000))
        assert _descriptors() - before <= 2 * 24 + 16


def test_there_may_be_more_workers_than_a_select_has_room_for(door: type[Door]) -> None:
    with door(70) as pool:
        assert pool.map(square, range(1000)) == [x * x for x in range(1000)]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Room for five descriptors more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filled: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 6, before[1]))
        with contextlib.suppress(OSError):
            while True:
                filled.append(os.dup(2))
        for _ in range(5):
            os.close(filled.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in filled:
            os.close(descriptor)


def test_too_few_descriptors_are_an_error_and_no_hang(
    door: type[Door], few_descriptors: None
) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        _squares_of_a_pool_with(door, 40)


def _squares_of_a_pool_with(door: type[Door], workers: int) -> list[int]:
    with door(workers) as pool:
        return pool.map(square, range(10))
