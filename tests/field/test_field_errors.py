"""What can not be pickled, or not be unpickled, is that call's error, and hangs nobody."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from typing import Any, NoReturn

import pytest

from tests.field.doors import Door, mp, outcome, square


class Awkward(Exception):
    """Can be pickled and not be unpickled: its arguments are not those of its constructor."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(f"{text} ({code})")


class Locked(Exception):
    """Can not be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Refuses:
    """Can not be unpickled."""

    def __reduce__(self) -> Any:
        return _refuse, ()


class Exits(BaseException):
    """What `except Exception` does not catch."""


def _refuse() -> NoReturn:
    raise LookupError("not here")


def _raise(error: BaseException) -> NoReturn:
    raise error


def _raise_awkward() -> NoReturn:
    raise Awkward(7, text="strange")


def _raise_locked() -> NoReturn:
    raise Locked


def _return_a_lock() -> Any:
    return threading.Lock()


def _return_what_refuses() -> Refuses:
    return Refuses()


def _raise_caused() -> None:
    try:
        _raise(KeyError("inner"))
    except KeyError as error:
        raise ValueError("outer") from error


def _nothing(x: object) -> None:
    return None


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


CASES = pytest.mark.parametrize(
    ("task", "expected", "text"),
    [
        (_raise_awkward, Awkward, "strange (7)"),
        (_raise_locked, "RemoteError", "locked"),
        (_return_a_lock, "MaybeEncodingError", "lock"),
        (_return_what_refuses, LookupError, "not here"),
    ],
)


@CASES
def test_it_is_the_error_of_that_call(
    door: type[Door], task: Any, expected: Any, text: str
) -> None:
    kind = getattr(mp, expected) if isinstance(expected, str) else expected
    with door(1) as pool:
        results = [pool.submit(task), pool.submit(square, 3), pool.submit(task)]
        for result in (results[0], results[2]):
            error = outcome(partial(pool.get, result), BaseException)
            assert isinstance(error, kind)
            assert text in str(error)
        assert pool.get(results[1]) == 9


@CASES
def test_it_is_the_error_of_that_map(door: type[Door], task: Any, expected: Any, text: str) -> None:
    kind = getattr(mp, expected) if isinstance(expected, str) else expected
    with door(2) as pool:
        with pytest.raises(kind):
            pool.map(_call, [None] * 10 + [task] + [None] * 10)
        assert pool.map(square, range(10)) == [x * x for x in range(10)]


def _call(task: Any) -> Any:
    return None if task is None else task()


def test_an_argument_that_refuses_is_that_call_s_error_and_costs_no_worker(
    door: type[Door],
) -> None:
    with door(1) as pool:
        before = pool.call(os.getpid)
        for _ in range(3):
            with pytest.raises(LookupError, match="not here"):
                pool.call(_nothing, Refuses())
        assert pool.call(os.getpid) == before


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt("here"), GeneratorExit("here"), Exits("here")]
)
def test_what_is_no_exception_comes_back_all_the_same(
    door: type[Door], error: BaseException
) -> None:
    with door(1) as pool:
        before = pool.call(os.getpid)
        found = outcome(lambda: pool.call(_raise, error), BaseException)
        assert (type(found), found.args) == (type(error), error.args)
        assert pool.call(os.getpid) == before


def test_where_it_was_raised_is_told(door: type[Door]) -> None:
    with door(1) as pool:
        with pytest.raises(ValueError, match="outer") as caught:
            pool.call(_raise_caused)
        assert "_raise_caused" in str(caught.value.__cause__)
        assert "KeyError: 'inner'" in str(caught.value.__cause__)


def test_a_result_that_is_too_deep_is_an_error(door: type[Door]) -> None:
    with door(1) as pool:
        depth = 100 * sys.getrecursionlimit()
        with pytest.raises((mp.MaybeEncodingError, RecursionError, mp.RemoteError)):
            pool.call(_nested, depth)
        assert pool.call(square, 7) == 49


def test_callbacks_get_the_error_of_what_can_not_be_unpickled() -> None:
    got: list[Any] = []
    told = threading.Event()

    def take(error: BaseException) -> None:
        got.append(error)
        told.set()

    with mp.Pool(1) as pool:
        pool.apply_async(_return_what_refuses, error_callback=take)
        told.wait()
    pool.join()
    assert isinstance(got[0], LookupError)
