"""Calls that take too long, or are not wanted any more, are ended; nothing else notices."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import select
import subprocess
import threading
from typing import Any

import pytest

from tests.field.doors import Door, Executor, mp, outcome, square
from tests.pool.gates import Log

LIMIT = 0.1
"""Seconds that the tasks get that never end."""


def _spin() -> None:
    while True:
        pass


def _spin_in_c() -> int:
    return sum(itertools.repeat(0))  # no signal is handled in there


def _wait(event: Any) -> None:
    event.wait()


def _late_at_ten(x: int) -> int:
    if x == 10:
        _spin()
    return x


def _raise_own() -> None:
    raise TimeoutError("the server's")


def _say_and_stay(started: Any) -> None:
    started.set()
    while True:
        threading.Event().wait()


def _sleep_in_a_program(started: Any) -> None:
    with subprocess.Popen(["sleep", "1000"]) as program:
        started.value = program.pid
        program.wait()


def _spin_and_tidy_up(log: Log) -> None:
    try:
        _spin()
    except mp.TaskTimeout:
        log.write("tidied up")
        raise


def _spin_and_come_to_a_result() -> str:
    try:
        _spin()
    except mp.TaskTimeout:
        return "what there was"
    return "never"


@pytest.mark.parametrize("task", [_spin, _spin_in_c])
def test_a_task_that_takes_too_long_is_ended(door: type[Door], task: Any) -> None:
    with door(2) as pool:
        late = pool.submit(task, timeout=LIMIT)
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        with pytest.raises(mp.TaskTimeout) as caught:
            pool.get(late)
        assert caught.value.timeout == LIMIT
        assert task.__name__ in str(caught.value)
        assert isinstance(caught.value, TimeoutError)
        assert pool.map(square, range(100)) == [x * x for x in range(100)]


def test_time_before_the_start_does_not_count(door: type[Door]) -> None:
    event = mp.Event()
    with door(1) as pool:
        first = pool.submit(_wait, event)
        second = pool.submit(square, 7, timeout=LIMIT)
        with pytest.raises(TimeoutError):
            pool.get(second, 3 * LIMIT)
        event.set()
        pool.get(first)
        assert pool.get(second) == 49


def test_in_a_map_it_costs_that_item_only(door: type[Door]) -> None:
    with door(2) as pool:
        found = pool.map(_late_at_ten, range(50), timeout=LIMIT, errors="return")
        assert isinstance(found[10], mp.TaskTimeout)
        assert found[10].item == 10
        assert [x for x in found if isinstance(x, int)] == [x for x in range(50) if x != 10]


def test_a_task_may_tidy_up(door: type[Door], log: Log) -> None:
    with door(1) as pool:
        before = pool.call(os.getpid)
        with pytest.raises(mp.TaskTimeout):
            pool.call(_spin_and_tidy_up, log, timeout=LIMIT, grace=50)
        assert log.lines() == ["tidied up"]
        assert pool.call(_spin_and_come_to_a_result, timeout=LIMIT, grace=50) == "what there was"
        assert pool.call(os.getpid) == before


def test_one_that_does_not_tidy_up_is_killed(door: type[Door]) -> None:
    with door(1) as pool:
        with pytest.raises(mp.TaskTimeout):
            pool.call(_spin_in_c, timeout=LIMIT, grace=LIMIT)
        assert pool.call(square, 7) == 49


def test_a_task_that_was_late_is_run_again_if_asked(door: type[Door], log: Log) -> None:
    with door(2) as pool:
        assert pool.call(_late_at_first, log, timeout=LIMIT, retries=1) == 2


def _late_at_first(log: Log) -> int:
    log.write("run")
    runs = len(log.lines())
    if runs == 1:
        _spin()
    return runs


def test_the_task_s_own_error_is_not_the_waiter_s(door: type[Door]) -> None:
    with door(1) as pool:
        with pytest.raises(TimeoutError, match="the server's"):
            pool.get(pool.submit(_raise_own), 1000)
        event = mp.Event()
        waits = pool.submit(_wait, event)
        with pytest.raises(TimeoutError) as caught:
            pool.get(waits, 0)
        assert not isinstance(caught.value, mp.TaskTimeout)
        event.set()
        assert pool.get(waits) is None


def test_waiting_in_vain_does_not_end_the_call(door: type[Door]) -> None:
    event = mp.Event()
    with door(2) as pool:
        waits = pool.submit(_wait, event)
        others = [pool.submit(square, x) for x in range(10)]
        with pytest.raises(TimeoutError):
            pool.get(waits, 0.001)
        assert [pool.get(other) for other in others] == [x * x for x in range(10)]
        event.set()
        assert pool.get(waits) is None


# ---- cancelling; futures


def test_a_call_that_runs_can_be_cancelled() -> None:
    started = mp.Event()
    with Executor(1) as executor:
        future = executor.submit(_say_and_stay, started)
        started.wait()
        assert future.running()
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()
        assert executor.submit(square, 7).result() == 49


def test_what_a_cancelled_call_started_is_ended_with_it() -> None:
    started = mp.Value("i", 0)
    with Executor(1) as executor:
        future = executor.submit(_sleep_in_a_program, started)
        while not started.value:
            concurrent.futures.wait([future], timeout=0.001)
        program = os.pidfd_open(started.value)
        try:
            assert future.cancel()
            assert executor.submit(square, 7).result() == 49
            assert select.select([program], [], [], 20)[0]
        finally:
            os.close(program)


def test_a_call_that_waits_can_be_cancelled_and_is_never_run(log: Log) -> None:
    event = mp.Event()
    with Executor(1) as executor:
        first = executor.submit(_wait, event)
        futures = [executor.submit(log.write, x) for x in range(20)]
        assert all(future.cancel() for future in futures[::2])
        event.set()
        first.result()
        concurrent.futures.wait(futures)
    assert log.lines() == [str(x) for x in range(1, 20, 2)]


def test_one_that_is_done_can_not_be_cancelled() -> None:
    with Executor(1) as executor:
        future = executor.submit(square, 7)
        assert future.result() == 49
        assert not future.cancel()
        assert future.result() == 49


def test_the_end_does_not_wait_for_what_was_never_started(log: Log) -> None:
    event = mp.Event()
    executor = Executor(1)
    first = executor.submit(_wait, event)
    started = executor.submit(square, 1)
    futures = [executor.submit(log.write, x) for x in range(100)]
    executor.shutdown(wait=False, cancel_futures=True)
    event.set()
    executor.shutdown()
    assert first.result() is None
    found = [outcome(f.result, concurrent.futures.CancelledError) for f in (started, *futures)]
    cancelled = [isinstance(one, concurrent.futures.CancelledError) for one in found]
    assert any(cancelled)
    assert len(log.lines()) == len(futures) - sum(cancelled[1:])


def test_a_time_limit_of_one_result_leaves_the_others_alone() -> None:
    event = mp.Event()
    with Executor(2) as executor:
        waits = executor.submit(_wait, event)
        results = executor.map(square, range(10))
        with pytest.raises(TimeoutError):
            waits.result(0.01)
        assert list(results) == [x * x for x in range(10)]
        event.set()
