"""An outline shows what was pickled, and runs none of its code."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec.buffers import Payload, dumps_task
from procession._engine.outline import outline, outline_call


class Plain:
    """Has an attribute."""

    def __init__(self) -> None:
        self.x = 1


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


class OfList(list[int]):
    """A list with a name."""


class WithKeywords:
    """Is made with keywords."""

    def __new__(cls, *args: int, **kwargs: int) -> Self:
        return object.__new__(cls)

    def __getnewargs_ex__(self) -> Any:
        return (1,), {"a": 2}


def _call(*args: Any, **kwds: Any) -> str:
    return outline_call("f", pickle.dumps((args, kwds), 5))


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(_PLAIN)
def test_plain_data_is_itself(value: Any) -> None:
    assert outline(pickle.dumps(value, 5)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Plain(), "Plain(…)"),
        (Deadly(), "_exit(…)"),
        (OfList([1, 2]), "OfList(…)"),
        (WithKeywords(), "WithKeywords(…)"),
        (collections.OrderedDict(a=1), "OrderedDict(…)"),
        (collections.defaultdict(list, a=[1]), "defaultdict(…)"),
        (collections.Counter("ab"), "Counter(…)"),
        (collections.deque([1]), "deque(…)"),
        (datetime.date(2000, 1, 1), "date(…)"),
        (ValueError("x"), "ValueError(…)"),
        ({1, 2}, "{1, 2}"),
        (len, "len"),
        ([Plain()], "[Plain(…)]"),
    ],
)
def test_objects_are_named(value: Any, text: str) -> None:
    assert _call(value) == f"f({text})"


def test_a_call_is_shown_with_arguments_and_keywords() -> None:
    assert _call(1, "two", key=3.0) == "f(1, 'two', key=3.0)"
    assert _call() == "f()"


def test_the_function_that_travels_along_is_left_out() -> None:
    assert outline_call("f", pickle.dumps((len, (1,), {}))) == "f(1)"


def test_long_arguments_are_cut() -> None:
    text = _call("x" * 1000, [0] * 1000)
    assert len(text) < 140
    assert text.count("…") == 2


@pytest.mark.parametrize("payload", [b"", b"no pickle", pickle.dumps(1), pickle.dumps((1, 2))])
def test_what_is_no_call_is_an_ellipsis(payload: bytes) -> None:
    assert outline_call("f", payload) == "f(…)"


@given(st.binary(max_size=60))
def test_no_bytes_do_harm(payload: bytes) -> None:
    assert outline_call("f", payload).startswith("f(")


def test_what_lies_beside_a_pickle_is_not_looked_at() -> None:
    array = np.zeros(300_000, np.uint8)
    arguments = (array, 7, b"x" * 200_000, "y" * 200_000, bytearray(200_000), [array[:200_000]])
    payload = dumps_task((arguments, {"k": array}), once=True)
    assert isinstance(payload, Payload)
    content = bytes(payload)
    del payload  # and what it kept
    assert outline_call("f", content) == (
        "f(array(…), 7, b'…', '…', bytearray(b'…'), [array(…)], k=array(…))"
    )
