"""What is large in a process's arguments goes through the arena, and nothing is left of it."""

from __future__ import annotations

import functools
import gc
import os
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core
from procession._codec import repeats
from procession._launch import description, parcel, preparation
from tests.start import large

LARGE = 4 << 20
"""Bytes."""


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    """What is large was not seen in other tests."""
    repeats.forget()


@pytest.fixture(params=["spawn", "forkserver"])
def ctx(request: pytest.FixtureRequest) -> Any:
    """The context of a start method whose children are no copies."""
    return procession.get_context(request.param)


def blocks() -> int:
    """How many pieces of memory somebody has."""
    _core.sweep()
    return _core.arena_statistics()["blocks"]


def numbers() -> Any:
    """An array of LARGE bytes."""
    return np.arange(LARGE // 8)


def frozen() -> Any:
    """One in memory that nobody writes any more, and that can be named."""
    memory = _core.Memory.holding([numbers()])
    memory.freeze()
    return np.frombuffer(memoryview(memory), "i8")


class Unpicklable:
    """Refuses to travel."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("this stays here")


def test_it_arrives_and_is_the_childs_own(ctx: Any) -> None:
    things = {
        "array": numbers(),
        "bytes": b"head" + bytes(LARGE) + b"tail",
        "bytearray": bytearray(b"head" + bytes(LARGE) + b"tail"),
    }
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=large.change, args=(writer, things))
    child.start()
    writer.close()
    whole = int(numbers().sum())
    with reader:
        assert reader.recv() == (whole, b"headtail", b"headtail")
        assert reader.recv() == (whole + LARGE // 8, b"mine", False)
    child.join()
    assert child.exitcode == 0
    np.testing.assert_array_equal(things["array"], numbers())
    assert things["bytearray"][:4] == b"head"
    assert blocks() == 0


def test_what_travels_by_value_takes_its_arrays_along(ctx: Any) -> None:
    array = numbers()
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=lambda conn: conn.send(int(array.sum())), args=(writer,))
    child.start()
    with reader, writer:
        assert reader.recv() == numbers().sum()
    child.join()
    assert blocks() == 0


@pytest.mark.parametrize("is_plain", [True, False])
def test_the_parcel_holds_little_and_its_end_gives_all_back(is_plain: bool) -> None:
    args = (numbers(), bytes(LARGE), "x" * LARGE)
    child = procession.Process(target=len if is_plain else lambda *_: None, args=args)
    packed = parcel.pack(lambda: description.describe("child", mask=(), zygote=None), child)
    with packed:
        assert os.fstat(packed.content).st_size < 64 << 10
    assert blocks() == 1
    del packed
    assert blocks() == 0


def test_the_parent_has_no_part_in_it_once_it_has_arrived(ctx: Any) -> None:
    ours, its = ctx.Pipe()
    things = [numbers()]
    child = ctx.Process(target=large.hold_until_told, args=(its, things))
    child.start()
    its.close()
    del things
    with ours:
        assert ours.recv() == LARGE // 8
        assert blocks() == 1
        ours.send("drop it")
        assert ours.recv() == "dropped"
        assert blocks() == 0
        ours.send("leave")
    child.join()
    assert child.exitcode == 0


def test_a_child_that_dies_first_leaves_nothing(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ctx.Process(target=int)  # the fork server is to live
    first.start()
    first.join()
    # It is run before the arguments are unpickled.
    monkeypatch.setattr(preparation, "_hooks", [functools.partial(os._exit, 9)])
    child = ctx.Process(target=len, args=(numbers(),))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert blocks() == 0


@pytest.mark.parametrize("is_last", [True, False])
def test_nor_does_one_that_dies_in_the_midst(ctx: Any, is_last: bool) -> None:
    args: list[Any] = [numbers(), frozen()]
    args.insert(2 if is_last else 0, large.Deadly())
    child = ctx.Process(target=len, args=args)
    child.start()
    del args
    child.join()
    assert child.exitcode == -9
    child.close()
    assert blocks() == 0


def test_what_can_not_be_pickled_leaves_nothing(ctx: Any) -> None:
    child = ctx.Process(target=len, args=(numbers(), frozen(), Unpicklable()))
    with pytest.raises(TypeError, match="this stays here"):
        child.start()
    assert child.pid is None
    del child
    assert blocks() == 0


def test_frozen_memory_is_only_named(ctx: Any) -> None:
    array = frozen()
    part = array[1000 : LARGE // 16]
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=large.say_where, args=(writer, array, part))
    child.start()
    writer.close()
    assert blocks() == 1
    with reader:
        assert reader.recv() == (large.where([array, part]), array.sum())
    child.join()
    assert child.exitcode == 0
    del array, part
    child.close()
    assert blocks() == 0


def test_a_child_that_has_a_name_keeps_the_memory(ctx: Any) -> None:
    ours, its = ctx.Pipe()
    things = [frozen()]
    child = ctx.Process(target=large.hold_until_told, args=(its, things))
    child.start()
    its.close()
    things.clear()
    with ours:
        assert ours.recv() == LARGE // 8
        assert blocks() == 1
        ours.send("drop it")
        assert ours.recv() == "dropped"
        assert blocks() == 0
        ours.send("leave")
    child.join()


def test_initial_arguments_of_a_pool(ctx: Any) -> None:
    with ctx.Pool(2, large.remember, (numbers(),)) as pool:
        told = {pool.apply(large.recall) for _ in range(20)}
        assert {about[:2] for about in told} == {(int(numbers().sum()), True)}
    pool.join()
    del pool
    gc.collect()  # a pool is a circle
    assert blocks() == 0


def test_frozen_memory_as_a_pools_initial_argument(ctx: Any) -> None:
    array = frozen()
    with ctx.Pool(3, large.remember, (array, array[5:])) as pool:
        expected = large.where([array, array[5:]])
        assert pool.map(large.recall_where, range(6), chunksize=1) == [expected] * 6
    pool.join()
    del pool, array
    gc.collect()
    assert blocks() == 0
