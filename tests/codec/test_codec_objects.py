"""Arguments and results as bytes: plain pickle, else by value, else the error of plain pickle."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec.buffers import dumps_answer, dumps_items, dumps_task
from procession._codec.items import loads_items
from procession._codec.objects import (
    PROTOCOL,
    dumps,
    dumps_by_value,
    loads,
    short_repr,
)
from procession._core import pack_numbers, unpack_numbers


class Refuses:
    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("not this one")


class Interrupted:
    """Somebody else's error: what a signal handler raises comes at such a place."""

    calls = 0

    def __reduce__(self) -> tuple[Any, ...]:
        Interrupted.calls += 1
        raise TimeoutError("the alarm")


class Silent:
    def __init__(self, answer: type[BaseException]) -> None:
        self.answer = answer

    def __repr__(self) -> str:
        raise self.answer


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
    lambda parts: st.one_of(
        st.lists(parts), st.tuples(parts, parts), st.dictionaries(st.text(), parts)
    ),
    max_leaves=20,
)


@given(_VALUES)
def test_values_survive_as_plain_pickles(value: object) -> None:
    blob = dumps(value)
    assert loads(blob) == value
    assert blob == pickle.dumps(value, PROTOCOL)


def test_what_has_no_name_travels_by_value() -> None:
    captured = [1, 2]

    class Local:
        def total(self, more: int) -> int:
            return sum(captured) + more

    arrived: Any = loads(dumps({"function": lambda x: x + captured[0], "object": Local()}))
    assert arrived["function"](5) == 6
    assert arrived["object"].total(3) == 6


@pytest.mark.parametrize("before", [1, lambda: 1, bytes(1 << 20)], ids=["", "lambda", "large"])
@pytest.mark.parametrize("by", [dumps, partial(dumps_task, once=True), dumps_answer])
def test_no_other_error_is_taken_for_a_refusal(by: Callable[[Any], Any], before: Any) -> None:
    Interrupted.calls = 0
    with pytest.raises(TimeoutError, match="the alarm"):
        by([before, Interrupted()])
    assert Interrupted.calls == 1


def test_the_error_of_plain_pickle_is_the_one_that_is_raised() -> None:
    with pytest.raises(TypeError, match="not this one") as raised:
        dumps(Refuses())
    # What cloudpickle said of it is not shown beside it.
    assert raised.value.__suppress_context__
    # Plain pickle fails at the lambda, cloudpickle at the other.
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        dumps([lambda: 1, Refuses()])
    with pytest.raises(TypeError, match="lock"):
        dumps(threading.Lock())


def test_what_plain_pickle_manages_never_loads_cloudpickle() -> None:
    program = (
        "import sys\n"
        "from procession._codec import exceptions, functions, objects\n"
        "objects.loads(objects.dumps([1, 'a', int, {}]))\n"
        "exceptions.decode_exception(exceptions.encode_exception(ValueError(1)))\n"
        "assert 'cloudpickle' not in sys.modules\n"
        "objects.dumps(lambda: 1)\n"
        "assert 'cloudpickle' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_by_value_takes_along_what_main_defines() -> None:
    """Loaded by an interpreter whose __main__ is another."""
    program = (
        "import sys\n"
        "from procession._codec.objects import dumps, dumps_by_value\n"
        "def helper(x): return x * 2\n"
        "def f(x): return helper(x) + 1\n"
        "assert b'helper' not in dumps(f)\n"
        "sys.stdout.buffer.write(dumps_by_value(f))\n"
    )
    blob = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    assert loads(blob.stdout)(4) == 9


def test_by_value_leaves_importable_things_where_they_are() -> None:
    assert loads(dumps_by_value(dumps)) is dumps


@given(_VALUES, st.integers(2, 80))
def test_a_short_repr_is_the_beginning_of_the_repr(value: object, limit: int) -> None:
    text = short_repr(value, limit)
    assert len(text) <= limit
    if len(repr(value)) <= limit:
        assert text == repr(value)
    else:
        # What is long is cut before its repr() is taken; of a text that may change the quotes.
        assert text[-1] == "…" or isinstance(value, str | bytes)
        assert text[: limit - 1] == repr(value)[: limit - 1] or isinstance(value, str | bytes)


def test_a_short_repr_of_what_is_long_does_not_look_at_all_of_it() -> None:
    class Counts:
        looked = 0

        def __repr__(self) -> str:
            Counts.looked += 1
            return "x"

    many = [Counts()] * 1000
    assert short_repr(many, 20) == "[x, x, x, x, x, x, …"
    assert Counts.looked <= 20
    assert short_repr("a" * 10**6, 10) == "'aaaaaaaa…"
    assert short_repr(b"a" * 10**6, 10) == "b'aaaaaaa…"


@pytest.mark.parametrize("answer", [ValueError, RecursionError, SystemExit])
def test_a_repr_that_raises_is_told_of(answer: type[BaseException]) -> None:
    expected = f"<Silent whose repr() raised {answer.__name__}>"
    assert short_repr(Silent(answer)) == expected
    assert short_repr([Silent(answer)], 200) == f"<list whose repr() raised {answer.__name__}>"


_FAR = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63)])
_NEAR = st.one_of(*(st.integers(-(2**n) - 1, 2**n) for n in (7, 15, 31)))
_PLAIN = st.one_of(*(st.lists(number) for number in (_FAR, _NEAR, st.floats())))


def _same(first: list[Any], second: list[Any]) -> bool:
    """Equal, item by item, in type and value; a float bit by bit."""
    return [(type(one), repr(one)) for one in first] == [(type(one), repr(one)) for one in second]


@given(_PLAIN | st.lists(_VALUES | st.floats()))
def test_the_items_of_a_chunk_come_back_as_they_were(items: list[Any]) -> None:
    found = loads_items(dumps_items(items))
    assert type(found) is list
    assert _same(found, items)
    assert _same(loads_items(memoryview(dumps_items(items))), items)


@given(_PLAIN.filter(bool))
def test_plain_numbers_travel_as_machine_words(numbers: list[Any]) -> None:
    packed = pack_numbers(numbers)
    assert packed is not None
    assert len(packed) <= 1 + 8 * len(numbers)
    assert _same(unpack_numbers(packed), numbers)


@pytest.mark.parametrize("smallest_width", [1, 2, 4, 8])
@pytest.mark.parametrize("sign", [1, -1])
def test_integers_take_as_few_bytes_as_hold_them(smallest_width: int, sign: int) -> None:
    edge = 2 ** (8 * smallest_width - 1)
    packed = pack_numbers([0, edge - 1 if sign > 0 else -edge])
    assert packed is not None
    assert len(packed) == 1 + 2 * smallest_width


class Number(int):
    pass


@pytest.mark.parametrize(
    "items",
    [
        [],
        [1, 2.0],
        [2.0, 1],
        [True, 1],
        [1, False],
        [1, 2**63],
        [-(2**63) - 1],
        [1, None],
        ["a"],
        [Number(1), 2],
        [1, Number(2)],
    ],
    ids=repr,
)
def test_what_would_not_come_back_the_same_is_not_packed(items: list[Any]) -> None:
    assert pack_numbers(items) is None
    assert _same(loads_items(dumps_items(items)), items)


@pytest.mark.parametrize("items", [(1, 2), range(3), "abc", b"abc"], ids=repr)
def test_a_chunk_stays_the_sequence_that_it_is(items: Any) -> None:
    found = loads_items(dumps_items(items))
    assert (type(found), found) == (type(items), items)


@pytest.mark.parametrize("wrong", [b"", b"x1234567", b"q1234567", b"h1"])
def test_other_bytes_are_no_numbers(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="not what pack_numbers"):
        unpack_numbers(wrong)


def test_only_a_list_is_packed() -> None:
    with pytest.raises(TypeError):
        pack_numbers((1, 2))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        unpack_numbers("text")  # type: ignore[arg-type]
