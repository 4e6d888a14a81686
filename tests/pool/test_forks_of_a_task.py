"""Children that a task forks by itself, and that return from the task's function.

The answer is that of the worker. The child ends there: like one that has come to its end.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

import pytest

from procession.pool import Pool
from tests.pool.gates import Log, children, error_of


def _fork(log: Log, x: int) -> Any:
    """Both return; the worker when the child has ended, with its exit code."""
    child = os.fork()
    if not child:
        atexit.register(log.write, f"end {x}")
        return "the child's", x
    return "the worker's", x, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _fork_and_fail(error: BaseException) -> Any:
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the report
        raise error
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _fork_before_the_end(x: int) -> int:
    """The child goes on when the worker has answered, and perhaps runs something else."""
    read, write = os.pipe()
    if not os.fork():
        os.close(write)
        os.read(read, 1)  # until the worker has let it go
        return -1
    os.close(read)
    _kept.append(write)
    if x % 3 == 2:
        while _kept:
            os.close(_kept.pop())
            os.wait()
    return x


_kept: list[int] = []


def _pid(_: object = None) -> int:
    return os.getpid()


def _goes_on(pool: Pool) -> None:
    assert set(pool.map(_pid, range(40), chunksize=1)) <= children()
    assert pool.apply(abs, (-3,)) == 3


def test_the_answer_to_a_call_is_the_workers(pool: Pool, log: Log) -> None:
    for x in range(5):
        assert pool.apply(_fork, (log, x)) == ("the worker's", x, 0)
    assert log.lines() == [f"end {x}" for x in range(5)]
    _goes_on(pool)


def test_the_answer_to_a_timed_call_is_the_workers(pool: Pool, log: Log) -> None:
    timed = pool.options(timeout=100)
    assert timed.apply(_fork, (log, 1)) == ("the worker's", 1, 0)
    assert timed.starmap(_fork, [(log, x) for x in range(4)], chunksize=2) == [
        ("the worker's", x, 0) for x in range(4)
    ]
    _goes_on(pool)


@pytest.mark.parametrize("chunksize", [1, 4])
def test_the_outcomes_of_a_chunk_are_the_workers(pool: Pool, log: Log, chunksize: int) -> None:
    items = [(log, x) for x in range(12)]
    expected = [("the worker's", x, 0) for x in range(12)]
    assert pool.starmap(_fork, items, chunksize=chunksize) == expected
    assert sorted(log.lines()) == sorted(f"end {x}" for x in range(12))
    _goes_on(pool)


@pytest.mark.parametrize("chunksize", [1, 3, 6])
def test_a_child_that_outlives_its_task_is_no_worker(pool: Pool, chunksize: int) -> None:
    assert pool.map(_fork_before_the_end, range(18), chunksize=chunksize) == [*range(18)]
    for result in [pool.apply_async(_fork_before_the_end, (x,)) for x in range(18)]:
        assert result.get() in range(18)
    _goes_on(pool)


@pytest.mark.parametrize(
    ("error", "code"), [(SystemExit(3), 3), (SystemExit(), 0), (KeyError("k"), 1)]
)
def test_what_the_child_raises_ends_the_child(pool: Pool, error: Any, code: int) -> None:
    assert pool.apply(_fork_and_fail, (error,)) == code
    assert pool.map(_fork_and_fail, [error] * 4, chunksize=2) == [code] * 4
    _goes_on(pool)


def _start_with_a_fork(log: Log) -> int:
    child = os.fork()
    log.write(child)
    return child


def test_a_child_of_the_initializer_is_no_worker(log: Log) -> None:
    with Pool(1, _start_with_a_fork, (log,)) as pool:
        _goes_on(pool)
        pool.close()
        pool.join()
    assert len(log.lines()) == 2


def test_what_the_worker_raises_is_an_answer_still(pool: Pool) -> None:
    assert isinstance(error_of(pool.apply_async(sys.exit, (3,))), SystemExit)
    _goes_on(pool)
