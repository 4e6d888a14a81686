"""close, terminate and join: what is still done, what fails, and that all of it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession.errors.pool import PoolTerminated
from procession.pool import Pool
from tests.plugins.scripts import LIMIT
from tests.pool.gates import Gate, Log, children, error_of


def _square(x: int) -> int:
    return x * x


def test_close_and_join_run_everything_that_was_submitted(log: Log, mp: Any) -> None:
    pool = mp.Pool(2)
    single = [pool.apply_async(log.write, (x,)) for x in range(500)]
    mapped = pool.map_async(log.write, range(500, 1500))
    streamed = pool.imap(log.write, iter(range(1500, 2500)), 3)
    unordered = pool.imap_unordered(log.write, iter(range(2500, 3000)))
    pool.close()
    pool.join()
    assert sorted(map(int, log.lines())) == list(range(3000))
    assert all(result.ready() for result in (*single, mapped))
    assert list(streamed) == [None] * 1000
    assert list(unordered) == [None] * 500


def test_join_before_close_is_an_error(any_pool: Any) -> None:
    with pytest.raises(ValueError, match=r"^Pool is still running$"):
        any_pool.join()
    assert any_pool.apply(_square, (3,)) == 9


def test_close_join_and_terminate_may_be_repeated(mp: Any) -> None:
    for steps in (
        ["close"] * 2 + ["join"] * 2,
        ["terminate"] * 2 + ["join"] * 2,
        ["close", "join", "terminate", "join"],
    ):
        pool = mp.Pool(2)
        for step in steps:
            getattr(pool, step)()


_CALLS: list[Callable[[Any], object]] = [
    lambda pool: pool.apply(_square, (1,)),
    lambda pool: pool.apply_async(_square, (1,)),
    lambda pool: pool.map(_square, [1]),
    lambda pool: pool.map_async(_square, [1]),
    lambda pool: pool.starmap(_square, [(1,)]),
    lambda pool: pool.starmap_async(_square, [(1,)]),
    lambda pool: pool.imap(_square, [1]),
    lambda pool: pool.imap_unordered(_square, [1]),
    lambda pool: pool.__enter__(),
]


@pytest.mark.parametrize("call", _CALLS)
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_no_call_behind_the_end(mp: Any, call: Callable[[Any], object], end: str) -> None:
    pool = mp.Pool(1)
    getattr(pool, end)()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        call(pool)
    pool.join()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        call(pool)


@contextlib.contextmanager
def _busy(log: Log) -> Iterator[tuple[Pool, list[Any], Any]]:
    """A pool with tasks that never end, others behind them, and a stream."""
    gate = Gate()
    pool = Pool(2)
    stuck = [pool.apply_async(gate.pass_through) for _ in range(2)]
    behind = [pool.apply_async(log.write, (x,)) for x in range(100)]
    behind.append(pool.map_async(log.write, range(100)))
    stream = pool.imap(log.write, iter(range(10**9)))
    yield pool, stuck + behind, stream
    pool.join()
    gate.close()


def test_terminate_fails_what_has_no_answer(log: Log) -> None:
    with _busy(log) as (pool, results, stream):
        pool.terminate()
        assert {type(error_of(result)) for result in results} == {PoolTerminated}
        with pytest.raises(PoolTerminated):
            next(stream)
    assert log.lines() == []
    assert children() == set()


def test_terminate_wakes_all_who_wait(log: Log) -> None:
    seen: list[BaseException] = []

    def wait_for(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            seen.append(error)

    with _busy(log) as (pool, results, stream):
        calls: list[Callable[[], object]] = [result.get for result in results]
        calls += [stream.next, stream.next, lambda: pool.map(_square, range(5))]
        threads = [threading.Thread(target=wait_for, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        pool.terminate()
        for thread in threads:
            thread.join(LIMIT)
    # The stream has one error, then its end; the map may have come too late.
    kinds = {type(error) for error in seen}
    assert kinds <= {PoolTerminated, StopIteration, ValueError}
    assert len(seen) == len(threads)


def test_terminate_from_another_thread_while_all_wait(log: Log) -> None:
    with _busy(log) as (pool, results, _):
        ender = threading.Thread(target=pool.terminate)
        ender.start()
        assert isinstance(error_of(results[0]), PoolTerminated)
        ender.join()


def test_terminate_while_closing(log: Log) -> None:
    with _busy(log) as (pool, results, _):
        pool.close()
        joined = threading.Thread(target=pool.join)
        joined.start()
        pool.terminate()
        joined.join()
        assert all(result.ready() for result in results)


def test_results_that_came_before_terminate_stay(pool: Pool) -> None:
    results = [pool.apply_async(_square, (x,)) for x in range(100)]
    results[-1].wait()
    stream = pool.imap(_square, range(5))
    assert next(stream) == 0
    pool.close()
    pool.join()
    pool.terminate()
    assert [result.get() for result in results] == [x * x for x in range(100)]
    assert list(stream) == [1, 4, 9, 16]


def test_a_task_that_ignores_sigterm_is_killed(gate: Gate) -> None:
    ready = Gate()

    def stay() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready.open()
        gate.pass_through()

    pool = Pool(1)
    result = pool.apply_async(stay)
    ready.pass_through()
    pool.terminate()
    pool.join()
    assert isinstance(error_of(result), PoolTerminated)
    ready.close()


def test_a_stopped_worker_is_killed(gate: Gate) -> None:
    pool = Pool(2)
    pids = set(children())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    result = pool.apply_async(_square, (1,))
    pool.terminate()
    pool.join()
    assert result.ready()
    assert children() == set()


def test_an_endless_task_of_pure_python_is_ended(pool: Pool) -> None:
    def spin() -> None:
        while True:
            pass

    result = pool.apply_async(spin)
    pool.terminate()
    assert isinstance(error_of(result), PoolTerminated)


def test_with_ends_the_pool_also_behind_an_error(mp: Any, gate: Gate) -> None:
    pool = mp.Pool(2)
    with contextlib.suppress(ZeroDivisionError), pool:
        pool.apply_async(gate.pass_through)
        raise ZeroDivisionError
    pool.join()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(_square, (1,))


def test_an_endless_input_is_ended_by_terminate_while_closing(pool: Pool) -> None:
    def naturals() -> Iterator[int]:
        x = 0
        while True:
            yield x
            x += 1

    stream = pool.imap(_square, naturals())
    assert next(stream) == 0
    pool.close()  # all of the input is to be done: without end
    for _ in range(1000):
        next(stream)
    pool.terminate()
    with pytest.raises(PoolTerminated):
        for _ in stream:
            pass


def test_an_input_that_exits_does_not_keep_the_pool_from_closing(pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        yield from range(1000)
        raise SystemExit("from the input")

    stream = pool.imap(_square, numbers())
    pool.close()
    pool.join()
    results = []
    with pytest.raises(SystemExit, match="from the input"):
        results += list(_until_error(stream))
    assert results == []


def _until_error(stream: Iterator[int]) -> Iterator[int]:
    for x in range(1000):
        assert next(stream) == x * x
    yield next(stream)


def _submit_until_closed(pool: Pool, started: threading.Barrier, accepted: list[Any]) -> None:
    started.wait()
    with contextlib.suppress(ValueError):
        accepted.extend(pool.apply_async(_square, (x,)) for x in range(100_000))


@pytest.mark.parametrize("calls", [0, 1, 10])
def test_many_threads_submit_while_the_pool_closes(calls: int) -> None:
    for _ in range(10):
        pool = Pool(2)
        accepted: list[Any] = []
        started = threading.Barrier(4)
        arguments = (pool, started, accepted)
        threads = [threading.Thread(target=_submit_until_closed, args=arguments) for _ in range(3)]
        for thread in threads:
            thread.start()
        started.wait()
        for _ in range(calls):
            pool.apply(_square, (2,))
        pool.close()
        pool.join()
        for thread in threads:
            thread.join()
        for result in accepted:  # each has an outcome: its value, but for the very last ones
            with contextlib.suppress(PoolTerminated):
                assert isinstance(result.get(), int)


def _work_until_ended(pool: Pool, started: threading.Barrier, errors: list[Exception]) -> None:
    started.wait()
    try:
        while True:
            assert pool.map(_square, range(4)) == [0, 1, 4, 9]
            assert sorted(pool.imap_unordered(_square, range(4))) == [0, 1, 4, 9]
            assert pool.apply(_square, (5,)) == 25
    except Exception as error:
        errors.append(error)


@pytest.mark.parametrize("calls", [0, 1, 10])
def test_many_threads_work_while_the_pool_is_terminated(calls: int) -> None:
    for _ in range(10):
        pool = Pool(2)
        errors: list[Exception] = []
        started = threading.Barrier(4)
        arguments = (pool, started, errors)
        threads = [threading.Thread(target=_work_until_ended, args=arguments) for _ in range(3)]
        for thread in threads:
            thread.start()
        started.wait()
        for _ in range(calls):
            pool.apply(_square, (2,))
        pool.terminate()
        pool.join()
        for thread in threads:
            thread.join()
        assert len(errors) == 3
        assert {type(error) for error in errors} <= {PoolTerminated, ValueError}


@pytest.mark.parametrize("end", ["close", "terminate"])
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_many_threads_iterate_while_the_pool_ends(end: str, method: str) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns at every opportunity
    try:
        for _ in range(15):
            pool = Pool(2)
            streams = [getattr(pool, method)(_square, iter(range(150)), 2) for _ in range(4)]
            found: list[list[int]] = [[] for _ in streams]
            threads = [
                threading.Thread(target=_collect_until_ended, args=pair)
                for pair in zip(streams, found, strict=True)
            ]
            for thread in threads:
                thread.start()
            getattr(pool, end)()
            pool.join()
            for thread in threads:
                thread.join()
            for values in found:
                assert set(values) <= {x * x for x in range(150)}
                assert len(values) == len(set(values))
                assert end == "terminate" or len(values) == 150
    finally:
        sys.setswitchinterval(interval)


def _collect_until_ended(stream: Iterator[int], values: list[int]) -> None:
    with contextlib.suppress(PoolTerminated):
        values.extend(stream)
