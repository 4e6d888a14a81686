"""Memory that is known by its name alone: forks, new interpreters, deaths of those who hold it."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _core
from procession._core import Memory
from tests.binding.places import blocks, in_child

LARGE = 100_000


def frozen(size: int = LARGE) -> Memory:
    memory = Memory.holding([bytes(number % 251 for number in range(size))])
    memory.freeze()
    return memory


def look_and_tell(name: tuple[int, ...], size: int, end: Any) -> None:
    memory = _core.arrive(Memory, name)
    view = memoryview(memory)
    right = view == bytes(number % 251 for number in range(size))
    place = Memory.at(view[10:20])
    own = memoryview(memory.private(5, size - 5))
    own[:5] = b"xxxxx"
    end.send((right, view.readonly, memory.frozen, place == (memory, 10), bytes(view[5:10])))
    end.recv()


@pytest.fixture
def ends(ctx: Any) -> Iterator[tuple[Any, Any]]:
    ours, theirs = ctx.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("size", [300, LARGE])
def test_another_process_has_it_frozen(ctx: Any, ends: tuple[Any, Any], size: int) -> None:
    before = blocks()
    memory = frozen(size)
    ours, theirs = ends
    process = ctx.Process(target=look_and_tell, args=(memory._name(), size, theirs))
    process.start()
    assert ours.recv() == (True, True, True, True, bytes(range(5, 10)))
    ours.send("go")
    process.join()
    assert process.exitcode == 0
    process.close()
    assert memoryview(memory)[:10] == bytes(range(10))
    del memory
    _core.sweep()
    Memory(LARGE)  # what was kept for the child is given up at the next occasion
    assert blocks() == before


def test_it_lives_as_long_as_the_last_holder(ctx: Any, ends: tuple[Any, Any]) -> None:
    before = blocks()
    memory = frozen()
    ours, theirs = ends
    process = ctx.Process(target=look_and_tell, args=(memory._name(), LARGE, theirs))
    process.start()
    assert ours.recv()[0]
    del memory
    others = [Memory(LARGE) for _ in range(3)]  # would lie where it lay
    assert blocks() == before + 4
    del others
    process.kill()
    process.join()
    process.close()
    _core.sweep()
    Memory(LARGE)
    assert blocks() == before


def test_a_holder_that_dies_takes_nothing_from_the_others(ctx: Any, ends: tuple[Any, Any]) -> None:
    memory = frozen()
    ours, theirs = ends
    process = ctx.Process(target=look_and_tell, args=(memory._name(), LARGE, theirs))
    process.start()
    assert ours.recv()[0]
    process.kill()
    process.join()
    process.close()
    _core.sweep()
    others = [Memory(LARGE) for _ in range(3)]
    assert bytes(memoryview(memory)[:5]) == bytes(range(5))
    assert Memory.at(memoryview(memory)) == (memory, 0)
    del others


def arrive_late(name: tuple[int, ...], end: Any) -> None:
    end.recv()
    try:
        _core.arrive(Memory, name)
    except RuntimeError as error:
        end.send(str(error))


def test_a_name_that_comes_too_late_is_refused(ctx: Any, ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    made = [Memory.holding([bytes(LARGE)])]
    name = made[0]._name()
    keeper = ctx.Process(target=arrive_late, args=(name, theirs))
    if ctx.get_start_method() == "fork":
        made.clear()  # before the fork: a child of it would inherit a hold
        keeper.start()
    else:
        keeper.start()
        made.clear()
    other = Memory.holding([bytes(LARGE)])  # lies where it lay
    ours.send("go")
    assert "has ended" in ours.recv()
    keeper.join()
    keeper.close()
    del other


def test_what_is_frozen_in_a_parent_is_so_in_its_forked_child() -> None:
    memory = frozen()
    early = memoryview(memory)

    def look() -> None:
        assert memory.frozen
        assert memoryview(memory).readonly
        assert Memory.at(early[7:]) == (memory, 7)
        assert _core.quick_dumps(pickle.PickleBuffer(early[:5000])) is None

    in_child(look)


def test_who_is_killed_while_it_copies_leaves_nothing(ctx: Any) -> None:
    before = blocks()
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=copy_for_ever, args=(theirs,))
    process.start()
    ours.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()
    ours.close()
    theirs.close()
    _core.sweep()
    assert blocks() == before
    assert _core.validate() is None


def copy_for_ever(end: Any) -> None:
    part = bytes(1 << 20)
    end.send("begun")
    while True:
        memory = Memory.holding([part, part])
        memory.freeze()
        memory.private(0, 1 << 20)
