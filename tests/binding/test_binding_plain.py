"""Pickles of plain values, written and read by the core: pickle's own, byte for byte."""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession._core import quick_dumps, quick_loads

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
arguments = st.tuples(
    st.lists(atoms | st.lists(atoms, max_size=5).map(tuple), max_size=9).map(tuple),
    st.dictionaries(st.text(max_size=20), atoms, max_size=4),
)


def alike(one: Any, other: Any) -> bool:
    """Equal, of the same types throughout, NaN being itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(alike, one.values(), other.values()))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (
            one == other or (math.isnan(one) and math.isnan(other))
        )
    return bool(one == other)


@given(arguments | atoms)
def test_they_are_written_as_pickle_writes_them(value: object) -> None:
    assert quick_dumps(value) == pickle.dumps(value, 5)


@given(arguments | atoms, st.sampled_from(PROTOCOLS))
def test_they_are_read_whoever_wrote_them(value: object, protocol: int) -> None:
    assert alike(quick_loads(pickle.dumps(value, protocol)), value)
    assert alike(quick_loads(pickle.dumps(value, protocol) + b"what follows"), value)


@pytest.mark.parametrize("bits", range(70))
def test_integers_have_the_same_bytes_at_every_bound(bits: int) -> None:
    for number in (1 << bits) - 1, 1 << bits, (1 << bits) + 1:
        for value in number, -number:
            assert quick_dumps(value) == pickle.dumps(value, 5), value
            assert quick_loads(pickle.dumps(value, 5)) == value


def complaint(loads: Any, content: bytes) -> tuple[type, str]:
    try:
        value = loads(content)
    except Exception as error:
        return type(error), str(error)
    raise AssertionError(f"{content!r} is no pickle, but was read as {value!r}")


@given(arguments)
def test_one_that_is_cut_off_says_what_pickle_says(value: object) -> None:
    whole = pickle.dumps(value, 5)
    for length in range(len(whole)):
        content = whole[:length]
        assert complaint(quick_loads, content) == complaint(pickle.loads, content)


@given(arguments, st.integers(-9, 9) | st.sampled_from([-(2**63), 2**63 - 1]))
def test_a_frame_of_another_length_says_what_pickle_says(value: object, more: int) -> None:
    content = bytearray(pickle.dumps(value, 5))
    length = int.from_bytes(content[3:11], "little") + more
    content[3:11] = (length % 2**64).to_bytes(8, "little")
    try:
        expected = pickle.loads(content)
    except Exception:
        assert complaint(quick_loads, bytes(content)) == complaint(pickle.loads, bytes(content))
    else:
        assert alike(quick_loads(bytes(content)), expected)


OPCODES = b"\x94NKMJ\x8aG\x8cC)\x85\x86\x87(t}su.\x00\x01\x02A"


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(OPCODES), max_size=9).map(lambda steps: bytes([*steps, 46])))
def test_whatever_is_asked_of_it_is_what_pickle_makes_of_it(steps: bytes) -> None:
    content = b"\x80\x05" + steps
    try:
        value = pickle.loads(content)
    except Exception:
        complaint(quick_loads, content)
    else:
        assert alike(quick_loads(content), value)


@pytest.mark.parametrize("value", ["twice", b"twice", (1,), {"a": 1}])
def test_what_is_there_twice_is_one_object_there(value: object) -> None:
    one, other = quick_loads(quick_dumps(((value, value), {})) or b"")[0]
    assert one is other


class Tuple(NamedTuple):
    first: int


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [Tuple(1), Number.ONE, Text("a"), OrderedDict(a=1), {1: 2}, {"a": {"b": 1}}, "\ud800", [1]],
    ids=repr,
)
def test_what_only_looks_plain_is_left_to_pickle(value: Any) -> None:
    wholes: list[Any] = [value, (value,), ((value,), {})]
    for whole in wholes:
        made = quick_dumps(whole)
        assert made == pickle.dumps(whole, 5)
        assert alike(quick_loads(made), whole)


def test_many_of_them_and_long_ones_are_left_to_pickle() -> None:
    many: list[Any] = [tuple(map(str, range(40))), ("a" * 256, b"b" * 256), tuple(range(500))]
    for value in many:
        assert quick_loads(quick_dumps(value) or b"") == value


def test_a_view_is_read_too() -> None:
    assert quick_loads(memoryview(pickle.dumps((1, "a")))) == (1, "a")
