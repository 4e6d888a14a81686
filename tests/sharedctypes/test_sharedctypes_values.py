"""Raw values and arrays: types, initial values, what is refused."""

from __future__ import annotations

import array
import copy
import ctypes
import gc
import multiprocessing.sharedctypes
import pickle
from typing import Any

import numpy as np
import pytest

from procession import _core, sharedctypes


class Point(ctypes.Structure):
    """With a field of each of two types."""

    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))


class Named(Point):
    """One that has inherited fields."""

    _fields_ = (("name", ctypes.c_char * 8),)  # type: ignore[assignment]


class Loud(ctypes.Structure):
    """One with an initializer of its own."""

    _fields_ = (("volume", ctypes.c_int),)

    def __init__(self, volume: int = 11) -> None:
        super().__init__(2 * volume)


NUMBERS = "bBhHiIlLqQ"


def test_both_know_the_same_names_and_typecodes() -> None:
    theirs: Any = multiprocessing.sharedctypes
    assert {*theirs.__all__} <= {*sharedctypes.__all__}
    assert theirs.typecode_to_type == sharedctypes.typecode_to_type
    assert all(hasattr(sharedctypes, name) for name in sharedctypes.__all__)


@pytest.mark.parametrize("code", NUMBERS)
def test_a_value_of_a_typecode(shared: Any, code: str) -> None:
    value = shared.RawValue(code, 7)
    assert type(value) is shared.typecode_to_type[code]
    assert value.value == 7
    value.value = 9
    assert value.value == 9
    assert shared.RawValue(code).value == 0


@pytest.mark.parametrize(
    ("code", "initial"), [("c", b"x"), ("u", "ä"), ("f", 0.5), ("d", -3.75), ("q", 2**40)]
)
def test_characters_and_fractions(shared: Any, code: str, initial: Any) -> None:
    assert shared.RawValue(code, initial).value == initial


def test_structures(shared: Any) -> None:
    point = shared.RawValue(Point, 3, 0.5)
    assert (type(point), point.x, point.y) == (Point, 3, 0.5)
    assert shared.RawValue(Loud).volume == 22
    points = shared.RawArray(Point, [(1, 2.0), (3, 4.0)])
    points[0].x += 10
    assert [(p.x, p.y) for p in points] == [(11, 2.0), (3, 4.0)]


def test_an_array_of_a_size_is_zero_however_often_it_is_made(shared: Any) -> None:
    for _ in range(3):
        made = shared.RawArray("i", 500)
        assert list(made) == [0] * 500
        made[:] = range(1, 501)
        del made


def test_an_array_of_values(shared: Any) -> None:
    made: Any = shared.RawArray("h", range(10))
    assert type(shared.RawArray("h", 10)) is ctypes.c_short * 10
    made[4:6] = array.array("h", [40, 50])
    assert made[:] == [0, 1, 2, 3, 40, 50, 6, 7, 8, 9]
    assert shared.RawArray("d", (0.5, 1.5))[1] == 1.5
    assert len(shared.RawArray("i", 0)) == len(shared.RawArray("i", [])) == 0


def test_arrays_of_characters(shared: Any) -> None:
    made = shared.RawArray("c", b"abc\0def")
    assert (made.value, made.raw) == (b"abc", b"abc\0def")
    made.value = b"x"
    assert made.raw == b"x\0c\0def"
    assert shared.RawArray("c", 3).raw == b"\0\0\0"
    assert shared.RawArray("u", "häß").value == "häß"


def test_an_array_of_arrays(shared: Any) -> None:
    made = shared.RawArray(ctypes.c_int * 3, 2)
    made[1][2] = 5
    assert [list(row) for row in made] == [[0, 0, 0], [0, 0, 5]]


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (("i", -1), ValueError, "Array length must be >= 0, not -1"),
        (("z", 3), TypeError, "this type has no size"),
        (("z", [1]), TypeError, "this type has no size"),
        (("i", None), TypeError, "object of type 'NoneType' has no len"),
        (("i", ["a"]), TypeError, "'str' object cannot be interpreted as an integer"),
        (("i", 2**62), OverflowError, "array too large"),
    ],
)
def test_arrays_that_are_refused(shared: Any, arguments: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        shared.RawArray(*arguments)
    with pytest.raises(kind, match=text):
        shared.Array(*arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("z",), "this type has no size"), (("i", "a"), "cannot be interpreted as an integer")],
)
def test_values_that_are_refused(shared: Any, arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        shared.RawValue(*arguments)
    with pytest.raises(TypeError, match=text):
        shared.Value(*arguments)


def test_what_is_no_type_is_told_which_typecodes_there_are() -> None:
    with pytest.raises(TypeError, match="'z' is neither a ctypes type nor one .* c u b B h H i I"):
        sharedctypes.RawValue("z")
    with pytest.raises(TypeError, match=r"c_int\(3\) is neither a ctypes type"):
        sharedctypes.RawArray(ctypes.c_int(3), 3)


def test_more_memory_than_there_is_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="arena"):
        sharedctypes.RawArray("b", 1 << 50)
    with pytest.raises(MemoryError, match="arena"):
        sharedctypes.Array("d", 1 << 50)


def test_a_copy_is_shared_too_and_has_bytes_of_its_own(shared: Any) -> None:
    original = ctypes.c_int(5)
    first = shared.copy(original)
    second = shared.copy(first)
    original.value, first.value = 6, 7
    assert (original.value, first.value, second.value) == (6, 7, 5)
    assert list(shared.copy(shared.RawArray("i", [1, 2]))) == [1, 2]
    assert shared.copy(shared.RawValue(Point, 1, 2)).y == 2


def test_the_module_copy_makes_private_ones(shared: Any) -> None:
    value = shared.RawValue("i", 5)
    made = copy.copy(value)
    made.value = 6
    assert (type(made), value.value) == (ctypes.c_int, 5)


def test_deep_copies_are_private_too() -> None:
    held = [sharedctypes.RawArray("i", [1, 2])]
    made = copy.deepcopy(held)
    made[0][0] = 5
    assert held[0][:] == [1, 2]


def test_numpy_sees_the_same_bytes(shared: Any) -> None:
    made = shared.RawArray("d", 4)
    view = np.frombuffer(made)
    view[1] = 2.5
    made[2] = 3.5
    assert list(view) == list(made) == [0, 2.5, 3.5, 0]
    guarded = shared.Array("i", 3, ctx=None, lock=False)
    np.frombuffer(guarded, dtype="i")[:] = 7
    assert guarded[:] == [7, 7, 7]


def test_a_view_keeps_the_bytes() -> None:
    before = _core.arena_statistics()["blocks"]
    view = np.frombuffer(sharedctypes.Array("d", 1000).get_obj())
    view[:] = 1
    gc.collect()
    assert _core.arena_statistics()["blocks"] == before + 1
    assert view.sum() == 1000
    del view
    gc.collect()
    assert _core.arena_statistics()["blocks"] == before


def test_they_go_with_their_last_reference_not_with_the_garbage_collection() -> None:
    gc.collect()
    before = _core.arena_statistics()["blocks"]
    gc.disable()
    try:
        made = sharedctypes.RawArray(Point, 1000)
        assert _core.arena_statistics()["blocks"] == before + 1
        del made
        assert _core.arena_statistics()["blocks"] == before
    finally:
        gc.enable()


def test_other_ctypes_objects_are_pickled_as_ever() -> None:
    value = sharedctypes.RawValue("i", 1)
    other = ctypes.c_int(2)
    copied = pickle.loads(pickle.dumps(other))
    copied.value = 3
    assert other.value == 2
    assert pickle.loads(pickle.dumps(value)).value == 1
    point = sharedctypes.RawArray(Point, [(1, 2)])[0]
    copied = pickle.loads(pickle.dumps(point))
    copied.x = 9
    assert point.x == 1
    same_class_as_ours = (ctypes.c_int * 5)()
    assert sharedctypes.RawArray("i", 5)[:] == [0] * 5
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(same_class_as_ours)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_here_they_come_back_on_the_same_bytes(protocol: int) -> None:
    for made in (sharedctypes.RawArray("i", 3), sharedctypes.RawArray(ctypes.c_short * 3, 2)):
        came = pickle.loads(pickle.dumps(made, protocol))
        assert type(came) is type(made)
        assert ctypes.addressof(came) == ctypes.addressof(made)
        pair = pickle.loads(pickle.dumps([made, made], protocol))
        assert pair[0] is pair[1]


def test_fields_of_a_base_are_pickled_too() -> None:
    made = sharedctypes.RawValue(Named, 1, 2.5, b"ab")
    came = pickle.loads(pickle.dumps(made))
    made.x = 8
    assert (came.x, came.y, came.name) == (8, 2.5, b"ab")
