"""The initializer: what it gets, and that no call waits for workers that can not be made ready."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from procession.errors.pool import InitializerFailed
from procession.pool import Pool
from procession.pool_worker import launch_worker
from tests.pool.gates import Gate, Log, error_of

_state: dict[str, Any] = {}


def _remember(*args: Any) -> None:
    _state["args"] = args


def _recall(_: object = None) -> Any:
    return _state.get("args")


class NotReady(Exception):
    """What the initializers here raise."""


def _fail(message: str = "not today") -> NoReturn:
    raise NotReady(message)


def _square(x: int) -> int:
    return x * x


def test_every_worker_is_initialised_with_initargs(mp: Any) -> None:
    with mp.Pool(3, _remember, (1, "two", [3])) as pool:
        assert pool.map(_recall, range(20), 1) == [(1, "two", [3])] * 20
    pool.join()
    assert _recall() is None  # not in this process


def test_initargs_may_be_any_iterable() -> None:
    with Pool(2, _remember, iter([1, 2])) as pool:
        assert pool.map(_recall, range(4), 1) == [(1, 2)] * 4
    pool.join()


def test_a_lambda_and_a_closure_will_do(mp: Any) -> None:
    local = 5
    with mp.Pool(1, lambda: _remember(local)) as pool:
        assert pool.apply(_recall) == (5,)
    pool.join()


def test_it_runs_once_in_each_worker_and_before_the_first_task(log: Log) -> None:
    def initialize() -> None:
        log.write(os.getpid())

    def lines_of_mine(_: int) -> int:
        return log.lines().count(str(os.getpid()))

    with Pool(2, initialize, maxtasksperchild=3) as pool:
        assert pool.map(lines_of_mine, range(30), 1) == [1] * 30
    pool.join()


_CALLS: list[Callable[[Pool], Any]] = [
    lambda pool: pool.apply(_square, (1,)),
    lambda pool: pool.apply_async(_square, (1,)).get(),
    lambda pool: pool.map(_square, range(100)),
    lambda pool: pool.map_async(_square, range(100)).get(),
    lambda pool: list(pool.imap(_square, range(100))),
    lambda pool: next(pool.imap_unordered(_square, range(100), 7)),
]


@pytest.mark.parametrize("call", _CALLS)
def test_an_initializer_that_raises_fails_every_call(call: Callable[[Pool], Any]) -> None:
    pool = Pool(2, _fail, ("the reason",))
    for _ in range(3):
        with pytest.raises(InitializerFailed, match="initializer raised") as caught:
            call(pool)
        cause = caught.value.__cause__
        assert type(cause) is NotReady
        assert str(cause) == "the reason"
        assert "in _fail" in str(cause.__cause__)  # where it happened
    pool.terminate()
    pool.join()


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_a_broken_pool_can_be_ended(end: str) -> None:
    pool = Pool(2, _fail)
    getattr(pool, end)()
    pool.join()


def test_calls_that_wait_already_get_the_error(gate: Gate) -> None:
    def fail_at_the_gate() -> None:
        gate.pass_through()
        _fail()

    pool = Pool(2, fail_at_the_gate)
    results = [pool.apply_async(_square, (x,)) for x in range(50)]
    seen: list[BaseException] = []
    results.append(pool.map_async(_square, range(50), error_callback=seen.append))
    stream = pool.imap(_square, range(50))
    gate.open(2)
    assert {type(error_of(result)) for result in results} == {InitializerFailed}
    with pytest.raises(InitializerFailed):
        next(stream)
    pool.close()
    pool.join()
    # The callback's thread may be told to stop before it gets that far.
    assert [type(error) for error in seen] in ([], [InitializerFailed])


def test_join_behind_close_ends_although_tasks_wait(gate: Gate) -> None:
    def fail_at_the_gate() -> None:
        gate.pass_through()
        _fail()

    pool = Pool(1, fail_at_the_gate)
    result = pool.apply_async(_square, (1,))
    pool.close()
    gate.open()
    pool.join()
    assert isinstance(error_of(result), InitializerFailed)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("here"), MemoryError()])
def test_whatever_it_raises_is_the_cause(error: BaseException) -> None:
    def fail() -> NoReturn:
        raise error

    with Pool(1, fail) as pool:
        with pytest.raises(InitializerFailed) as caught:
            pool.apply(_square, (1,))
        assert type(caught.value.__cause__) is type(error)
    pool.join()


def test_an_error_that_can_not_be_pickled_is_the_cause_all_the_same() -> None:
    class Local(Exception):
        def __reduce__(self) -> NoReturn:
            raise TypeError("not me")

    def fail() -> NoReturn:
        raise Local("text")

    with Pool(1, fail) as pool:
        with pytest.raises(InitializerFailed) as caught:
            pool.apply(_square, (1,))
        assert "text" in str(caught.value.__cause__)
    pool.join()


def test_one_that_fails_later_breaks_the_pool_for_what_is_left(log: Log) -> None:
    def fail_in_the_fifth() -> None:
        log.write(os.getpid())
        if len(log.lines()) >= 5:
            _fail("the fifth")

    pool = Pool(1, fail_in_the_fifth, maxtasksperchild=1)
    results = [pool.apply_async(_square, (x,)) for x in range(20)]
    outcomes = [result.get() for result in results[:4]]
    assert outcomes == [0, 1, 4, 9]
    assert {type(error_of(result)) for result in results[4:]} == {InitializerFailed}
    assert str(error_of(results[-1]).__cause__) == "the fifth"
    pool.close()
    pool.join()


def test_a_pool_whose_start_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    launch = launch_worker

    def launch_two(*args: Any, **kwargs: Any) -> Any:
        if len(started) == 2:
            raise OSError(11, "no more processes")
        started.append(None)
        return launch(*args, **kwargs)

    monkeypatch.setattr("procession.pool.launch_worker", launch_two)
    with pytest.raises(OSError, match="no more processes"):
        Pool(4)
    assert len(started) == 2


def test_a_worker_that_can_not_be_replaced_at_once_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launch = launch_worker
    failures_left = 0

    def launch_sometimes(*args: Any, **kwargs: Any) -> Any:
        nonlocal failures_left
        if failures_left:
            failures_left -= 1
            raise OSError(11, "no more processes")
        return launch(*args, **kwargs)

    monkeypatch.setattr("procession.pool.launch_worker", launch_sometimes)
    monkeypatch.setattr("procession._engine.foreman.RETRY", 1_000_000)
    with Pool(2, maxtasksperchild=1) as pool:
        failures_left = 3
        assert pool.map(_square, range(10), 1) == [x * x for x in range(10)]
        assert failures_left == 0
    pool.join()


def test_workers_that_can_not_be_replaced_break_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = launch_worker
    is_full = False

    def launch_if_room(*args: Any, **kwargs: Any) -> Any:
        if is_full:
            raise OSError(11, "no more processes")
        return launch(*args, **kwargs)

    monkeypatch.setattr("procession.pool.launch_worker", launch_if_room)
    monkeypatch.setattr("procession._engine.foreman.RETRY", 1_000_000)
    pool = Pool(1, maxtasksperchild=1)
    is_full = True
    results = [pool.apply_async(_square, (x,)) for x in range(3)]
    assert results[0].get() == 0
    error = error_of(results[1])
    assert isinstance(error, InitializerFailed)
    assert isinstance(error.__cause__, OSError)
    pool.close()
    pool.join()
