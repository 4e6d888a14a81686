"""Values and arrays with a lock: which one it is, and that each access takes it."""

from __future__ import annotations

import copy
import ctypes
import multiprocessing
import sys
import threading
from typing import Any

import numpy as np
import pytest

import procession
from procession import sharedctypes
from tests.sharedctypes.test_sharedctypes_values import Named, Point


class Counting:
    """A lock that is one by its acquire() and release() only; it counts."""

    def __init__(self) -> None:
        self.held = 0
        self.taken = 0

    def acquire(self) -> bool:
        """Take it."""
        self.held += 1
        self.taken += 1
        return True

    def release(self) -> None:
        """Give it back."""
        self.held -= 1


@pytest.fixture
def mp(shared: Any) -> Any:
    """The fork context that belongs to the module under test."""
    package = procession if shared is sharedctypes else multiprocessing
    return package.get_context("fork")


def test_value_and_lock(shared: Any, mp: Any) -> None:
    value = shared.Value("i", 5, ctx=mp)
    assert type(value) is shared.Synchronized
    assert type(value.get_obj()) is ctypes.c_int
    assert type(value.get_lock()) is type(mp.RLock())
    with value.get_lock():
        value.value += 1
    assert value.value == value.get_obj().value == 6
    with value as entered:
        assert entered is True
        value.value = 8
    assert value.acquire() is True
    value.release()
    assert value.value == 8


def test_without_a_context_the_lock_is_a_recursive_one() -> None:
    value = sharedctypes.Value("i")
    with value, value.get_lock():
        assert value.acquire(False)
        value.release()
    assert type(sharedctypes.Value("i", lock=None).get_lock()) is type(value.get_lock())
    assert sharedctypes.Array("i", 1).get_lock() is not value.get_lock()


def test_a_lock_of_ones_own(shared: Any, mp: Any) -> None:
    for lock in (mp.Lock(), mp.RLock(), threading.Lock()):
        assert shared.Value("i", lock=lock).get_lock() is lock
        assert shared.Array("i", 2, lock=lock).get_lock() is lock
        assert shared.synchronized(ctypes.c_int(4), lock).get_lock() is lock


def test_no_lock(shared: Any) -> None:
    assert type(shared.Value("i", 5, lock=False)) is ctypes.c_int
    assert type(shared.Array("i", 5, lock=False)) is ctypes.c_int * 5


def test_what_is_no_lock_is_refused(shared: Any) -> None:
    with pytest.raises(AttributeError, match="'navalue' has no method 'acquire'"):
        shared.Value("i", 5, lock="navalue")
    with pytest.raises(AttributeError, match="'notalock' has no method 'acquire'"):
        shared.Array("i", range(3), lock="notalock")


def test_the_signatures(shared: Any) -> None:
    with pytest.raises(TypeError):
        shared.Array("i", 3, False)  # its lock is given by name only
    assert shared.Value(ctypes.c_double, 0.5, lock=False).value == 0.5
    assert shared.Array(size_or_initializer=2, typecode_or_type="i", lock=False)[:] == [0, 0]


def test_each_access_takes_the_lock(shared: Any) -> None:
    lock = Counting()
    value = shared.Value("d", 2, lock=lock)
    value.value = value.value + 1
    assert (lock.taken, lock.held) == (2, 0)
    text = shared.Array("c", b"abc", lock=lock)
    text.value = b"x"
    assert text.raw == b"x\0c"
    assert (lock.taken, lock.held) == (4, 0)
    point = shared.Value(Point, 1, 2, lock=lock)
    point.y = point.x
    assert (lock.taken, lock.held) == (6, 0)


def test_a_refused_value_gives_the_lock_back(shared: Any) -> None:
    lock = Counting()
    value = shared.Value("i", 2, lock=lock)
    with pytest.raises(TypeError):
        value.value = "x"
    assert (value.value, lock.held) == (2, 0)
    with pytest.raises(AttributeError):
        del value.value


def test_one_who_has_the_lock_keeps_others_out(shared: Any, mp: Any) -> None:
    value = shared.Value("i", 1, lock=mp.Lock())
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.append(value.value))
    with value.get_lock():
        reader.start()
        reader.join(0.05)
        assert not seen
        value.get_obj().value = 2
    reader.join()
    assert seen == [2]


def test_arrays(shared: Any, mp: Any) -> None:
    made = shared.Array("i", [6, 8, 9, 3], ctx=mp)
    assert type(made) is shared.SynchronizedArray
    assert len(made) == 4
    made[0] += 1
    made[2:] = [1, 2]
    assert (made[0], made[-1], made[:], list(made)) == (7, 2, [7, 8, 1, 2], [7, 8, 1, 2])
    with pytest.raises(IndexError, match="invalid index"):
        made[4]
    with pytest.raises(ValueError, match="same size"):
        made[:2] = [1]
    assert 8 in made


def test_strings(shared: Any, mp: Any) -> None:
    made = shared.Array("c", b"hello", ctx=mp)
    assert type(made) is shared.SynchronizedString
    made.value = b"hi"
    assert (made.value, made.raw, made[1], len(made)) == (b"hi", b"hi\0lo", b"i", 5)
    wide = shared.Array("u", "wörld", ctx=mp)
    assert type(wide) is shared.SynchronizedArray
    assert wide[:] == "wörld"


def test_a_structures_fields_are_properties(shared: Any, mp: Any) -> None:
    value = shared.Value(Point, 1, 2.5, ctx=mp)
    assert type(value).__name__ == "SynchronizedPoint"
    assert isinstance(value, shared.SynchronizedBase)
    value.x += 3
    value.y = -1
    assert (value.x, value.y, value.get_obj().x) == (4, -1.0, 4)
    assert type(shared.Value(Point, ctx=mp)) is type(value)


def test_inherited_fields_are_properties_too() -> None:
    value = sharedctypes.Value(Named, 1, 2.5, b"ab")
    value.x, value.name = 3, b"cd"
    assert (value.get_obj().x, value.y, value.name) == (3, 2.5, b"cd")


def test_synchronized(shared: Any, mp: Any) -> None:
    wrapped = shared.synchronized(shared.RawValue("i", 3), ctx=mp)
    assert (type(wrapped), wrapped.value) == (shared.Synchronized, 3)
    with pytest.raises(AssertionError, match="object already synchronized"):
        shared.synchronized(wrapped)
    with pytest.raises(AttributeError, match="_fields_"):
        shared.synchronized(ctypes.pointer(ctypes.c_int(3)), mp.RLock())


def test_how_they_show_themselves(shared: Any, mp: Any) -> None:
    assert repr(shared.Value("i", 3, ctx=mp)) == "<Synchronized wrapper for c_int(3)>"
    assert repr(shared.Array("i", 3, ctx=mp)).startswith("<SynchronizedArray wrapper for <")


def test_a_lock_without_with_does_for_all() -> None:
    lock = Counting()
    made = sharedctypes.Array("i", [1, 2], lock=lock)
    with made:
        assert lock.held == 1
    made[0] += made[1]
    assert (made[:], lock.held) == ([3, 2], 0)


def test_numpy_on_a_locked_array(shared: Any, mp: Any) -> None:
    made = shared.Array("d", 3, ctx=mp)
    np.frombuffer(made.get_obj())[1] = 4.5
    assert made[:] == [0, 4.5, 0]
    private = np.array(made)
    private[:] = 1
    assert made[:] == [0, 4.5, 0]


def test_properties_for_classes_of_ones_own(shared: Any) -> None:
    class Pair(shared.SynchronizedBase):  # type: ignore[misc]
        x = shared.make_property("x")

    lock = Counting()
    pair = Pair(shared.RawValue(Point, 7, 0), lock)
    pair.x += 1
    pair.note = "free"
    assert (pair.x, lock.taken, pair.note) == (8, 3, "free")
    assert shared.make_property("x") is shared.make_property("x")


def test_copies_of_a_wrapper_are_on_the_same_bytes() -> None:
    value = sharedctypes.Value("i", 1)
    for made in (copy.copy(value), copy.deepcopy(value), copy.deepcopy([value])[0]):
        made.value += 1
        assert made.get_lock() is value.get_lock()
    assert value.value == 4


def test_a_property_leaves_its_name_alone() -> None:
    """One that was made at run time, when the interpreter keeps another one like it."""
    first, second = (str(b"made_at_run_time", "ascii") for _ in range(2))
    kept = sys.intern(first)
    before = sys.getrefcount(second)
    sharedctypes.make_property(second)
    assert sys.getrefcount(second) == before + 1  # by this name it is found again
    assert kept is first
