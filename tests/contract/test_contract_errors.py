"""What tasks raise, and what can not travel, on each engine."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

import procession
from procession._backends.abilities import Ability
from procession.futures import Executor
from procession.pool import Pool
from tests.contract.engines import Setting
from tests.contract.tasks import (
    Exits,
    Fault,
    Stubborn,
    double,
    fail,
    fail_if_odd,
    fail_in_group,
    fail_stubbornly,
    fail_with_cause,
    identity,
    lock_of_threads,
    raise_it,
)


def _error(pool: Pool, function: Any, *args: Any) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        pool.apply(function, args)
    return caught.value


def test_the_error_itself_with_its_traceback(pool: Pool) -> None:
    error = _error(pool, fail, 7)
    assert isinstance(error, Fault)
    assert (error.item, error.detail) == (7, "on purpose")
    text = "".join(traceback.format_exception(error))
    assert "in fail" in text
    assert "tasks.py" in text


def test_notes_and_causes(pool: Pool) -> None:
    error = _error(pool, fail_with_cause)
    assert isinstance(error, ValueError)
    assert error.__notes__ == ["a note"]
    text = "".join(traceback.format_exception(error))
    assert "KeyError: 'inner'" in text
    assert "a note" in text


def test_groups(pool: Pool) -> None:
    error = _error(pool, fail_in_group)
    assert isinstance(error, ExceptionGroup)
    assert [type(one) for one in error.exceptions] == [ValueError, Fault]


def test_an_error_that_can_not_be_pickled(setting: Setting, pool: Pool) -> None:
    """A RemoteError tells of it; where nothing is pickled it is the error itself."""
    error = _error(pool, fail_stubbornly)
    if setting.can(Ability.BY_REFERENCE):
        assert isinstance(error, Stubborn)
    else:
        assert isinstance(error, procession.RemoteError)
        assert error.type_name.endswith("Stubborn")
    assert "no way" in str(error)


def test_a_result_that_can_not_be_pickled(setting: Setting, pool: Pool) -> None:
    """A MaybeEncodingError tells of it; where nothing is pickled it arrives."""
    if setting.can(Ability.BY_REFERENCE):
        assert pool.apply(lock_of_threads).acquire()
        return
    error = _error(pool, lock_of_threads)
    assert isinstance(error, procession.MaybeEncodingError)
    assert "lock" in str(error)


def test_arguments_that_can_not_be_pickled(
    setting: Setting, pool: Pool, executor: Executor
) -> None:
    lock = lock_of_threads()
    if setting.can(Ability.BY_REFERENCE):
        assert pool.apply(identity, (lock,)) is lock
        return
    with pytest.raises(TypeError, match="pickle"):
        pool.apply(identity, (lock,))
    with pytest.raises(TypeError, match="pickle"):
        pool.map(identity, [lock])
    with pytest.raises(TypeError, match="pickle"):
        executor.submit(identity, lock).result()
    assert pool.apply(double, (1,)) == 2


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, Exits])
def test_what_would_end_a_process(pool: Pool, kind: type[BaseException]) -> None:
    assert type(_error(pool, raise_it, kind, 3)) is kind
    with pytest.raises(kind):
        pool.map(lambda item: raise_it(kind, item), range(2))
    assert pool.apply(double, (1,)) == 2


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, TimeoutError, MemoryError])
def test_errors_that_mean_something_to_us(pool: Pool, kind: type[Exception]) -> None:
    assert type(_error(pool, raise_it, kind, "own")) is kind
    results = pool.imap(lambda item: raise_it(kind, item), range(2))
    with pytest.raises(kind) as caught:
        results.next()
    assert caught.value.args == (0,)
    results.close()


def test_an_error_in_a_chunk_does_not_spoil_others(pool: Pool) -> None:
    values = pool.options(errors="return").map(fail_if_odd, range(100), 10)
    assert values[::2] == [10 * item for item in range(0, 100, 2)]
    assert [error.item for error in values[1::2]] == list(range(1, 100, 2))


def test_errors_of_one_type_are_different_objects(pool: Pool) -> None:
    first, second = pool.options(errors="return").map(fail, range(2))
    assert first is not second
    assert (first.item, second.item) == (0, 1)


def test_a_function_that_is_none(pool: Pool) -> None:
    not_callable: Any = 3
    with pytest.raises(TypeError, match="not callable"):
        pool.apply(not_callable)
    with pytest.raises(TypeError, match="not callable"):
        pool.map(not_callable, [1])
