"""What is over the budget is refused with the numbers, on every road; what is not, waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core
from procession._transport import lending
from procession.errors.memory import ArenaFull
from tests.memory import loads

MIB = 1 << 20
BUDGET = 64 * MIB

HUGE = 5 * loads.GIB + 3
"""Bytes: over the budget, and over what 32 bits can say."""


@pytest.fixture(autouse=True)
def _budget() -> Iterator[None]:
    before = _core.memory_budget(BUDGET)
    yield
    _core.memory_budget(before)


def pipe(thing: Any) -> None:
    receiver, sender = procession.Pipe(duplex=False)
    with receiver, sender:
        try:
            sender.send(thing)
        finally:
            assert not receiver.poll()
            sender.send("next")
            assert receiver.recv() == "next"


def queue(make: str) -> Callable[[Any], None]:
    def put(thing: Any) -> None:
        queue: Any = getattr(procession, make)()
        try:
            queue.put(thing)
        finally:
            assert queue.empty()
            queue.put("next")
            assert queue.get() == "next"
            queue.close()

    return put


def many_into_a_queue(thing: Any) -> None:
    queue: Any = procession.Queue()
    with pytest.raises(ArenaFull) as caught:
        queue.put_many(["one", "two", thing, "three"])
    assert caught.value.put_count == 2  # type: ignore[attr-defined]
    assert queue.get_many(9) == ["one", "two"]
    queue.close()
    raise caught.value


def argument(thing: Any) -> None:
    with procession.Pool(1) as pool:
        try:
            pool.apply(len, (thing,))
        finally:
            assert pool.apply(len, ("next",)) == 4
    pool.join()


def argument_of_a_map(thing: Any) -> None:
    with procession.Pool(1) as pool:
        try:
            pool.map(len, ["one", thing])
        finally:
            assert pool.map(len, ["next"]) == [4]
    pool.join()


def argument_of_a_future(thing: Any) -> None:
    with procession.Executor(1) as executor:
        try:
            executor.submit(len, thing).result()
        finally:
            assert executor.submit(len, "next").result() == 4


def result(thing: Any) -> None:
    with procession.Pool(1) as pool:
        try:
            pool.apply(loads.untouched, (len(thing),))
        finally:
            assert pool.apply(len, ("next",)) == 4
    pool.join()


def result_of_a_map(thing: Any) -> None:
    with procession.Pool(1) as pool:
        try:
            pool.map(loads.untouched, [3, len(thing)])
        finally:
            assert pool.apply(len, ("next",)) == 4
    pool.join()


def argument_of_a_process(method: str) -> Callable[[Any], None]:
    def start(thing: Any) -> None:
        child = procession.get_context(method).Process(target=len, args=(thing,))
        try:
            child.start()
        finally:
            assert child.pid is None
            child.close()

    return start


ROADS: dict[str, Callable[[Any], None]] = {
    "pipe": pipe,
    "queue": queue("Queue"),
    "joinable queue": queue("JoinableQueue"),
    "simple queue": queue("SimpleQueue"),
    "put_many": many_into_a_queue,
    "argument": argument,
    "argument of a map": argument_of_a_map,
    "argument of a future": argument_of_a_future,
    "result": result,
    "result of a map": result_of_a_map,
    "process (spawn)": argument_of_a_process("spawn"),
    "process (forkserver)": argument_of_a_process("forkserver"),
}


@pytest.mark.parametrize("road", ROADS)
def test_it_is_refused_with_the_numbers_and_the_road_stays_open(road: str) -> None:
    with pytest.raises(ArenaFull, match="do not fit into the shared arena") as caught:
        ROADS[road](loads.untouched(HUGE))
    error = caught.value
    assert isinstance(error, MemoryError)
    assert HUGE <= error.asked < HUGE + 4096
    assert error.budget == BUDGET
    assert "5,121 MiB" in str(error)
    assert "64 MiB" in str(error)
    del caught, error


def taken(size: int) -> Any:
    """So many bytes of the budget, until it is dropped."""
    return _core.Memory.holding([loads.untouched(size)])


def test_a_pipe_sends_over_the_wire_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lending, "PATIENCE", 0)
    receiver, sender = procession.Pipe(duplex=False)
    sent = [np.arange(number, number + MIB) for number in range(3)]
    others = taken(45 * MIB)
    before = _core.arena_statistics()["blocks"]
    with receiver, sender:
        thread = threading.Thread(target=lambda: [*map(sender.send, sent)])
        thread.start()
        for expected in sent:
            received = receiver.recv()
            np.testing.assert_array_equal(received, expected)
            assert received.flags.writeable
            assert _core.arena_statistics()["blocks"] == before
        thread.join()
        del others
        sender.send(sent[0])  # there is room again
        assert _core.arena_statistics()["blocks"] == before
        np.testing.assert_array_equal(receiver.recv(), sent[0])


def test_a_pipe_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "PATIENCE", 1e9)
    receiver, sender = procession.Pipe(duplex=False)
    others = taken(45 * MIB)
    looked = threading.Event()
    look = lending._arena

    def tell() -> Any:
        looked.set()
        return look()

    monkeypatch.setattr(lending, "_arena", tell)
    with receiver, sender:
        thread = threading.Thread(target=sender.send, args=(np.arange(MIB),))
        thread.start()
        assert looked.wait(30)
        assert not receiver.poll()
        del others
        received = receiver.recv()
        thread.join()
        np.testing.assert_array_equal(received, np.arange(MIB))
        assert _core.arena_statistics()["blocks"] == 1


def test_bytes_that_no_pipe_would_lend_are_not_held_to_the_budget() -> None:
    receiver, sender = procession.Pipe(duplex=False)
    size = lending.MOST + 1
    with receiver, sender:
        thread = threading.Thread(target=sender.send_bytes, args=(loads.octets(size),))
        thread.start()
        assert loads.describe(receiver.recv_bytes()) == ("bytes", size, True)
        thread.join()


def test_what_is_received_in_a_crowded_arena_is_taken_out_of_it() -> None:
    receiver, sender = procession.Pipe(duplex=False)
    others = taken(40 * MIB)
    with receiver, sender:
        sender.send(np.arange(MIB // 4))
        received = receiver.recv()
        assert _core.arena_statistics()["blocks"] == 1
        np.testing.assert_array_equal(received, np.arange(MIB // 4))
        assert received.flags.writeable
        del others


@pytest.mark.parametrize("make", ["Queue", "JoinableQueue"])
@pytest.mark.parametrize(("block", "timeout"), [(False, None), (True, 0), (True, 0.01)])
def test_a_queue_waits_no_longer_than_it_is_told(
    make: str, block: bool, timeout: float | None
) -> None:
    queue: Any = getattr(procession, make)()
    others = taken(45 * MIB)
    for put in (queue.put, lambda thing, *how: queue.put_many(["first", thing], *how)):
        with pytest.raises(ArenaFull) as caught:
            put(np.arange(MIB), block, timeout)
        assert caught.value.asked >= 8 * MIB
        del caught
    assert queue.get() == "first"
    assert queue.empty()
    del others
    queue.put(np.arange(MIB), block, timeout)
    np.testing.assert_array_equal(queue.get(), np.arange(MIB))
    queue.close()


@pytest.mark.parametrize("make", ["Queue", "JoinableQueue", "SimpleQueue"])
def test_a_queue_waits_for_room(make: str) -> None:
    queue: Any = getattr(procession, make)()
    others = [taken(45 * MIB)]
    was_there = []

    def give_back(*_: object) -> None:  # it comes while put() waits, or a moment before
        was_there.append(not queue.empty())
        others.clear()

    before = signal.signal(signal.SIGALRM, give_back)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        queue.put(np.arange(MIB))
        assert was_there == [False]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    np.testing.assert_array_equal(queue.get(), np.arange(MIB))
    queue.close()


def test_a_signal_handler_that_raises_ends_the_wait_and_nothing_is_put() -> None:
    queue: Any = procession.Queue()
    others = taken(45 * MIB)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            queue.put(np.arange(MIB))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert queue.empty()
    del others
    assert _core.arena_statistics()["blocks"] <= 1
    queue.put("next")
    assert queue.get() == "next"
    queue.close()


def test_a_pool_that_has_no_room_says_what_it_needs_and_changes_nothing() -> None:
    with pytest.raises(ArenaFull) as caught:
        procession.Pool(1, memory=1)
    assert MIB < caught.value.asked < 16 * MIB
    assert caught.value.budget == 1
    assert _core.memory_budget() == BUDGET
    with procession.Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1


def test_an_executor_that_has_no_room_changes_nothing() -> None:
    with procession.Executor(1, memory=1) as executor, pytest.raises(ArenaFull):
        executor.submit(abs, -1)
    assert _core.memory_budget() == BUDGET


def test_the_numbers_are_those_of_blocks() -> None:
    """What would fit by its own size, but does not by that of its block."""
    with procession.Pool(1) as pool, pytest.raises(ArenaFull) as caught:
        pool.apply(bytes, (57 * MIB,))
    full = caught.value
    assert full.asked + full.in_use < BUDGET < full.needed + full.in_use
    assert "58 MiB, a block of 64 MiB, do not fit" in str(full)
    assert "three quarters" not in str(full)
