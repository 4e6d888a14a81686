"""Queue items whose buffers travel beside their pickle: one block, which the taker takes over."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession import _core
from procession._core import Memory
from procession.errors.memory import ArenaFull
from procession.queues import JoinableQueue, Queue, SimpleQueue
from tests.queues.apart import Parcel, parcels
from tests.worker.apart import pattern


@pytest.fixture(autouse=True)
def _parcels() -> Iterator[None]:
    with parcels():
        yield


def _blocks() -> int:
    return _core.arena_statistics()["blocks"]


def _parcel(number: int, *sizes: int) -> Parcel:
    return Parcel(
        *(pattern(number + at, size)[:size] for at, size in enumerate(sizes)), note=number
    )


@pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])
@pytest.mark.parametrize("sizes", [[], [0], [5], [63, 64, 65, 1 << 16], [3_000_001]], ids=str)
def test_it_arrives_whole(kind: Any, sizes: list[int]) -> None:
    some = kind()
    some.put(_parcel(1, *sizes))
    taken = some.get()
    assert taken == _parcel(1, *sizes)
    assert all(not buffer.readonly for buffer in taken.buffers)
    if kind is JoinableQueue:
        some.task_done()
        some.join()


def test_its_block_lives_as_long_as_a_view() -> None:
    some: Any = Queue()
    some.put(0)
    some.get()
    before = _blocks()
    some.put(_parcel(1, 300_000))
    assert _blocks() == before + 1
    taken = some.get()
    assert _blocks() == before + 1
    view = taken.buffers[0][10:20]
    del taken
    assert _blocks() == before + 1
    del view
    assert _blocks() == before
    some.close()


def test_between_processes() -> None:
    there, back = Queue(), Queue()
    child = procession.Process(target=_echo, args=(there, back))
    child.start()
    for number in range(20):
        there.put(_parcel(number, 70_000, number))
        assert back.get() == _parcel(number + 1, 70_000, number)
    there.put(None)
    child.join()
    assert child.exitcode == 0
    child.close()


def _echo(there: Any, back: Any) -> None:
    while (parcel := there.get()) is not None:
        number, sizes = parcel.note, [len(buffer) for buffer in parcel.buffers]
        assert parcel == _parcel(number, *sizes)
        back.put(_parcel(number + 1, *sizes))


def test_what_is_sent_may_change_once_put_has_returned() -> None:
    some: Any = Queue()
    buffer = bytearray(b"x" * 500_000)
    some.put(Parcel(buffer))
    buffer[:] = bytes(500_000)
    assert some.get() == Parcel(b"x" * 500_000)


def test_many_at_once_keep_their_order() -> None:
    some: Any = Queue()
    items = [
        number if number % 3 == 0 else _parcel(number, 70_000 if number % 3 == 1 else 700_000)
        for number in range(60)
    ]
    assert some.put_many(items) == 60
    assert some.qsize() == 60
    taken: list[Any] = []
    while len(taken) < 60:
        taken += some.get_many(25)
    assert taken == items


def test_one_that_can_not_be_opened_costs_no_other() -> None:
    some: Any = Queue()
    before = _blocks()
    some.put_many(
        [Parcel(bytes(70_000), note="bad") if n == 1 else _parcel(n, 8) for n in range(3)]
    )
    with pytest.raises(ValueError, match="a bad parcel") as caught:
        some.get_many(3)
    assert caught.value.got == [_parcel(0, 8), _parcel(2, 8)]  # type: ignore[attr-defined]
    some.put(Parcel(bytes(70_000), note="bad"))
    with pytest.raises(ValueError, match="a bad parcel"):
        some.get()
    del caught
    some.close()
    del some
    assert _blocks() <= before


@pytest.mark.parametrize("pair", [(b"body",), (b"body", 3), (b"body", [3]), (1, [b"x"])], ids=repr)
def test_what_are_no_buffers_is_refused(pair: Any) -> None:
    some: Any = Queue()
    before = _blocks()
    with parcels(lambda _: pair), pytest.raises(TypeError):
        some.put(Parcel())
    assert (some.qsize(), _blocks()) == (0, before)


def test_a_full_queue_keeps_nothing_of_it() -> None:
    some: Any = Queue(1)
    some.put(0)
    before = _blocks()
    with pytest.raises(queue.Full):
        some.put_nowait(_parcel(1, 70_000))
    with pytest.raises(queue.Full) as caught:
        some.put_many([_parcel(n, 70_000) for n in range(9)], timeout=0.01)
    assert caught.value.put_count == 0  # type: ignore[attr-defined]
    assert (some.qsize(), _blocks()) == (1, before)
    assert some.get() == 0


def test_what_is_left_in_it_goes_with_the_queue() -> None:
    before = _blocks()
    some: Any = Queue()
    some.put_many([_parcel(n, 70_000) for n in range(9)])
    assert _blocks() >= before + 9
    some.close()
    del some
    assert _blocks() == before


def test_it_waits_for_room_and_then_is_refused() -> None:
    """A queue's items may have three quarters of the budget; others free what they took."""
    some: Any = Queue()
    was = _core.memory_budget()
    in_use = _core.arena_statistics()["paged"] - _core.arena_statistics()["warm_free"]
    _core.memory_budget(in_use + (32 << 20))
    try:
        with pytest.raises(ArenaFull) as caught:
            some.put(Parcel(bytes(64 << 20)))
        assert caught.value.asked >= 64 << 20
        with pytest.raises(ArenaFull) as caught:
            some.put_many([Parcel(bytes(4 << 20), note=note) for note in range(32)], timeout=0)
        put = caught.value.put_count  # type: ignore[attr-defined]
        assert 4 <= put <= 8
        assert [some.get().note for _ in range(put)] == list(range(put))
        some.put(Parcel(bytes(4 << 20)))
        some.get()
    finally:
        _core.memory_budget(was)


def test_where_it_is_crowded_the_taker_gets_a_copy() -> None:
    some: Any = Queue()
    was = _core.memory_budget()
    in_use = _core.arena_statistics()["paged"] - _core.arena_statistics()["warm_free"]
    _core.memory_budget(max(2 * in_use, 16 << 20))
    try:
        ballast = Memory(8 << 20)
        before = _blocks()
        some.put(_parcel(1, 500_000))
        taken = some.get()
        assert taken == _parcel(1, 500_000)
        assert isinstance(taken.buffers[0].obj, bytearray)
        assert not taken.buffers[0].readonly
        assert _blocks() <= before + 1  # a segment
        del ballast
    finally:
        _core.memory_budget(was)


def test_a_producer_killed_while_it_waits_for_room_leaves_nothing() -> None:
    """It has payloads in its hands, that nobody will ever put in."""
    some: Any = Queue(1)
    some.put(0)
    before = _blocks()
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(tell, b"x")
            some.put_many([_parcel(n, 100_000) for n in range(9)])
        finally:
            os._exit(1)
    os.read(ready, 1)
    while _blocks() < before + 4:  # the first of them are in blocks
        os.sched_yield()
    os.kill(child, 9)
    os.waitpid(child, 0)
    _core.sweep()
    assert _blocks() == before
    assert some.get() == 0
    os.close(ready)
    os.close(tell)
