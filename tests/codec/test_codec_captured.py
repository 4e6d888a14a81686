"""Whether a function sent by value has a state of its own."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any, cast

import pytest

from procession._codec.captured import has_state
from procession._codec.functions import ANEW, ANEW_FOR_EACH, FunctionCache, FunctionTable
from procession._core import Channel
from tests.codec.test_codec_functions import Blocks


def _over(value: Any) -> Callable[..., Any]:
    return lambda: value


def _by_default(value: Any) -> Callable[..., Any]:
    return lambda x=value: x


def _by_keyword(value: Any) -> Callable[..., Any]:
    return lambda *, x=value: x


def _counting() -> Callable[..., Any]:
    n = 0

    def count() -> int:
        nonlocal n
        n += 1
        return n

    return count


def _counting_within() -> Callable[..., Any]:
    n = 0

    def outer() -> int:
        def count() -> None:
            nonlocal n
            n += 1

        count()
        return n

    return outer


def _counting_for_itself() -> Callable[..., Any]:
    step = 1

    def outer() -> int:
        n = 0

        def count() -> None:
            nonlocal n
            n += step

        count()
        return n

    return outer


def _recursive() -> Callable[..., Any]:
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    return factorial


def _marked() -> Callable[..., Any]:
    def function() -> None: ...

    function.calls = 0  # type: ignore[attr-defined]
    return function


def _wrapping(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def wrapper() -> Any:
        return inner()

    return wrapper


CAPTURING = (_over, _by_default, _by_keyword)


@pytest.mark.parametrize("capture", CAPTURING)
@pytest.mark.parametrize(
    "value",
    [[1], {}, bytearray(b"a"), object(), ([],), functools.partial(abs), _over([1])],
    ids=str,
)
def test_what_can_be_written_to_is_a_state(capture: Callable[[Any], Any], value: Any) -> None:
    assert has_state(capture(value))


@pytest.mark.parametrize("capture", CAPTURING)
@pytest.mark.parametrize(
    "value",
    [
        *(1, "a", b"a" * 100_000, None, (1, ("a",)), frozenset({1}), range(5), re.compile("a")),
        *(math, math.sin, re.compile, _over(5)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_never_changes_is_none(capture: Callable[[Any], Any], value: Any) -> None:
    assert not has_state(capture(value))


@pytest.mark.parametrize("made", [_counting(), _counting_within(), _marked(), _wrapping(_over([]))])
def test_variables_and_attributes_are_a_state(made: Callable[..., Any]) -> None:
    assert has_state(made)


@pytest.mark.parametrize("made", [_recursive(), _counting_for_itself(), _wrapping(_over(1)), abs])
def test_variables_of_a_call_are_none(made: Callable[..., Any]) -> None:
    assert not has_state(made)


def test_a_worker_loads_it_anew_each_time_and_keeps_none() -> None:
    blocks = cast(Channel, Blocks())
    table, cache = FunctionTable(blocks), FunctionCache(blocks)
    count = _counting()
    sent = table.publish(count, 0)
    assert sent is not None
    assert sent.number & ANEW
    assert [cache.load(*sent)() for _ in range(3)] == [1, 1, 1]
    assert cache.load(sent.number | ANEW_FOR_EACH, sent.code)() == 1
    assert not cache.known
    assert table.find(count) == sent
    assert count() == 1
    assert table.find(count) is None  # it is another one now
    plain = table.publish(_over(1), 0)
    assert plain is not None
    assert not plain.number & ANEW
    assert cache.load(*plain) is cache.load(*plain)
