"""The options of calls, on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from typing import Any

import pytest

import procession
from procession._backends.abilities import Ability
from procession.futures import Executor
from procession.pool import Pool
from tests.contract.engines import Setting
from tests.contract.tasks import (
    Fault,
    Signals,
    double,
    fail_if_odd,
    fail_until,
    identity,
    note,
    wait_for,
    wait_if_first,
)


def test_a_timeout(setting: Setting, pool: Pool, signals: Signals) -> None:
    """The task is stopped, or given up: either way the caller knows when its time is up."""
    result = pool.options(timeout=0.2).apply_async(wait_for, (signals, "began", "end"))
    with pytest.raises(procession.TaskTimeout, match="wait_for") as caught:
        result.get()
    assert caught.value.timeout == 0.2
    assert caught.value.runs_on == (not setting.can(Ability.STOP))
    signals.set("end")
    assert pool.apply(double, (1,)) == 2


def test_a_timeout_in_a_map(setting: Setting, pool: Pool, signals: Signals) -> None:
    late = pool.options(timeout=0.3 + setting.start, errors="return")
    values = late.map(partial(wait_if_first, signals), range(5))
    assert isinstance(values[0], procession.TaskTimeout)
    assert values[0].item == 0
    assert values[1:] == [1, 2, 3, 4]
    signals.set("end")  # where it can not be stopped, it had a worker for itself
    results = late.imap(partial(wait_if_first, signals, end="over"), range(3))
    assert isinstance(next(results), procession.TaskTimeout)
    assert list(results) == [1, 2]


def test_nobody_is_late(pool: Pool) -> None:
    patient = pool.options(timeout=600)
    assert patient.apply(double, (1,)) == 2
    assert patient.map(double, range(20)) == list(range(0, 40, 2))
    assert list(patient.imap(double, range(10))) == list(range(0, 20, 2))


@pytest.mark.parametrize("timeout", [None, 600])
def test_retries(pool: Pool, signals: Signals, timeout: float | None) -> None:
    patient = pool.options(retries=2, timeout=timeout)
    assert patient.apply(fail_until, (signals, 2, "a")) == "a"
    assert signals.noted() == ["a"] * 3
    with pytest.raises(Fault):
        patient.apply(fail_until, (signals, 3, "b"))
    assert signals.noted().count("b") == 3
    assert patient.map(partial(fail_until, signals, 1), ["c", "d", "e"]) == ["c", "d", "e"]
    assert signals.noted().count("d") == 2
    assert list(patient.imap(partial(fail_until, signals, 2), ["f", "g"])) == ["f", "g"]
    with pytest.raises(Fault):
        patient.map(partial(fail_until, signals, 5), ["h"])


def test_errors(pool: Pool) -> None:
    with pytest.raises(Fault):
        pool.map(fail_if_odd, range(6))
    returned = pool.options(errors="return").map(fail_if_odd, range(6))
    assert returned[::2] == [0, 20, 40]
    assert [error.item for error in returned[1::2]] == [1, 3, 5]
    assert pool.options(errors="skip").map(fail_if_odd, range(6), 2) == [0, 20, 40]
    with pytest.raises(ExceptionGroup) as caught:
        pool.options(errors="group").map(fail_if_odd, range(6), 3)
    assert [error.item for error in caught.value.exceptions] == [1, 3, 5]  # type: ignore[union-attr]


def test_errors_one_by_one(pool: Pool) -> None:
    returned = list(pool.options(errors="return").imap(fail_if_odd, range(6)))
    assert [error.item for error in returned[1::2]] == [1, 3, 5]
    assert list(pool.options(errors="skip").imap(fail_if_odd, range(6), 2)) == [0, 20, 40]
    results = pool.options(errors="group").imap(fail_if_odd, range(4))
    assert list(islice(results, 2)) == [0, 20]
    with pytest.raises(ExceptionGroup, match="2 of 4"):
        next(results)


@pytest.mark.parametrize("bound", [1, 3, 10])
def test_max_in_flight(pool: Pool, bound: int) -> None:
    pulled: list[int] = []

    def numbers() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    results = pool.options(max_in_flight=bound).imap(double, numbers())
    for consumed in range(30):
        assert next(results) == 2 * consumed
        assert len(pulled) <= consumed + 1 + bound
    results.close()


def test_max_in_flight_of_calls(make_executor: Callable[..., Executor], signals: Signals) -> None:
    executor = make_executor(2, max_in_flight=4)
    futures = [executor.submit(double, item) for item in range(40)]
    assert [future.result() for future in futures] == list(range(0, 80, 2))


def test_max_bytes(pool: Pool) -> None:
    bounded = pool.options(max_bytes=100_000)
    assert bounded.map(len, [bytes(10_000)] * 40, 1) == [10_000] * 40
    assert [len(one) for one in bounded.imap(identity, [bytes(10_000)] * 40)] == [10_000] * 40


def test_unordered(pool: Pool, signals: Signals) -> None:
    results = pool.options(ordered=False).imap(partial(wait_if_first, signals), range(4))
    first = next(results)
    assert first != 0
    signals.set("end")
    assert sorted([first, *results]) == [0, 1, 2, 3]


def test_progress(pool: Pool) -> None:
    told: list[Any] = []
    values = pool.options(progress=told.append, errors="skip").map(fail_if_odd, range(10))
    assert values == [0, 20, 40, 60, 80]
    last = told[-1]
    assert (last.done, last.failed, last.total) == (10, 5, 10)
    told.clear()
    assert len(list(pool.options(progress=told.append).imap(double, range(10)))) == 10
    assert told[-1].done == 10


def test_star_and_name(pool: Pool) -> None:
    assert pool.options(star=True).map(double, [(1,), (2,)]) == [2, 4]
    with pytest.raises(ExceptionGroup, match="the odd ones"):
        pool.options(errors="group", name="the odd ones").map(fail_if_odd, range(4))


def test_options_of_the_whole_pool(make_pool: Callable[..., Pool], signals: Signals) -> None:
    pool = make_pool(2, retries=1, errors="skip")
    assert pool.map(partial(fail_until, signals, 1), ["a", "b"]) == ["a", "b"]
    assert pool.map(fail_if_odd, range(4)) == [0, 20]


def test_a_timeout_that_is_tried_again(setting: Setting, pool: Pool, signals: Signals) -> None:
    late = pool.options(timeout=0.2 + setting.start, retries=1)
    with pytest.raises(procession.TaskTimeout):
        late.apply(wait_for, (signals, "began", "end"))
    signals.set("end")
    assert late.apply(wait_for, (signals, "began", "end")) == "done"


def test_a_view_has_the_same_workers(pool: Pool, signals: Signals) -> None:
    view = pool.options(retries=1)
    assert view.map(partial(note, signals), range(3)) == [0, 1, 2]
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        view.map(double, range(3))
