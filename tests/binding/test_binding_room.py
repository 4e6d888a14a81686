"""Waiting for room in the arena, and what is said where there is none."""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from procession import _core
from procession._core import Memory
from procession.errors.memory import ArenaFull
from tests.binding.conftest import BUDGET, MIB
from tests.binding.places import blocks, wait_until_it_sleeps

pytestmark = pytest.mark.usefixtures("budget")

MOST = BUDGET // 4 * 3
"""Of what is sent ahead."""


def send(size: int, **how: Any) -> Memory:
    return Memory.holding([bytes(size)], **how)


@contextmanager
def waiting(work: Callable[[], Any]) -> Iterator[Future[Any]]:
    """It runs in a thread, and waits for room by now."""
    threads = []

    def run() -> Any:
        threads.append(threading.get_native_id())
        begun.set()
        return work()

    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        begun.wait()
        wait_until_it_sleeps(threads[0])
        yield future


# ---- what is refused at once


@pytest.mark.parametrize(("size", "results"), [(MOST + 1, False), (BUDGET + 1, True)])
def test_what_can_never_fit_is_refused_with_the_numbers(size: int, results: bool) -> None:
    kept = send(10 * MIB)
    with pytest.raises(ArenaFull) as full:
        send(size, results=results)
    assert full.value.asked == size
    assert full.value.budget == BUDGET
    assert 10 * MIB <= full.value.in_use < 13 * MIB
    assert full.value.warm < BUDGET
    del kept


def test_who_will_not_wait_is_refused() -> None:
    kept = send(30 * MIB)
    with pytest.raises(ArenaFull) as full:
        send(30 * MIB, wait=False)
    assert full.value.asked == 30 * MIB
    assert full.value.in_use >= 30 * MIB
    del kept
    send(30 * MIB, wait=False)


def test_results_find_room_where_arguments_find_none() -> None:
    kept = send(40 * MIB)
    with pytest.raises(ArenaFull):
        send(15 * MIB, wait=False)
    send(15 * MIB, results=True, wait=False)
    del kept


def test_small_ones_find_room_when_all_is_in_use() -> None:
    kept = [send(56 * MIB, results=True, wait=False)]
    with pytest.raises(ArenaFull):
        kept.extend(send(MIB, results=True, wait=False) for _ in itertools.count())
    assert [send(1000, wait=False).size for _ in range(10)] == [1000] * 10


def test_a_refusal_leaves_nothing() -> None:
    before = blocks()
    for _ in range(3):
        with pytest.raises(ArenaFull):
            send(BUDGET)
        with pytest.raises(ArenaFull):
            Memory(2 * BUDGET)
    assert blocks() == before
    assert _core.validate() is None


# ---- waiting


@pytest.mark.parametrize("make", [send, lambda size: Memory(size + BUDGET // 4)])
def test_who_waits_goes_on_when_there_is_room(make: Callable[[int], Memory]) -> None:
    kept = [send(30 * MIB)]
    with waiting(lambda: make(30 * MIB)) as made:
        assert not made.done()
        kept.clear()
        assert made.result().size >= 30 * MIB
        del made


def test_all_who_wait_go_on() -> None:
    kept = [send(40 * MIB)]
    with (
        waiting(lambda: send(10 * MIB).size) as one,
        waiting(lambda: send(12 * MIB).size) as two,
        waiting(lambda: send(14 * MIB).size) as three,
    ):
        kept.clear()
        assert [one.result(), two.result(), three.result()] == [10 * MIB, 12 * MIB, 14 * MIB]


def test_others_that_free_too_little_are_waited_for_still() -> None:
    kept = [send(MIB) for _ in range(40)]
    with waiting(lambda: send(30 * MIB).size) as made:
        for _ in range(3):
            kept.pop()
        assert not made.done()
        kept.clear()
        assert made.result() == 30 * MIB


def hold_it(size: int, end: Any) -> None:
    memory = send(size)
    end.send(memory.size)
    end.recv()


def test_what_another_process_holds_is_waited_for(ctx: Any) -> None:
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=hold_it, args=(30 * MIB, theirs))
    process.start()
    assert ours.recv() == 30 * MIB
    with waiting(lambda: send(30 * MIB).size) as made:
        ours.send("go")
        assert made.result() == 30 * MIB
    process.join()
    process.close()
    ours.close()
    theirs.close()


def test_what_the_dead_held_is_looked_for(ctx: Any) -> None:
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=hold_it, args=(30 * MIB, theirs))
    process.start()
    assert ours.recv() == 30 * MIB
    pid = process.pid
    with waiting(lambda: send(30 * MIB).size) as made:
        os.kill(pid, signal.SIGKILL)  # and nobody sweeps
        assert made.result() == 30 * MIB
    process.join()
    process.close()
    ours.close()
    theirs.close()


def test_what_only_circles_of_objects_keep_is_looked_for() -> None:
    gc.collect()
    before = gc.get_threshold()
    gc.set_threshold(0)  # it does not come to that by itself
    try:
        circle: list[Any] = [send(30 * MIB)]
        circle.append(circle)
        del circle
        assert send(30 * MIB).size == 30 * MIB
    finally:
        gc.set_threshold(*before)


def test_a_signal_ends_the_waiting() -> None:
    def complain(*_: object) -> None:
        raise LookupError

    me = threading.get_native_id()
    kept = send(30 * MIB)

    def interrupt() -> None:
        wait_until_it_sleeps(me)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, complain)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(LookupError):
            send(30 * MIB)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert kept.size == 30 * MIB


def test_a_handler_that_only_looks_does_not_end_it() -> None:
    came = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: came.set())
    me = threading.get_native_id()
    kept = [send(30 * MIB)]

    def disturb() -> None:
        wait_until_it_sleeps(me)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        came.wait()
        wait_until_it_sleeps(me)
        kept.clear()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        assert send(30 * MIB).size == 30 * MIB
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_where_nothing_is_freed_the_waiting_has_an_end() -> None:
    kept = send(30 * MIB)
    with pytest.raises(ArenaFull) as full:
        send(30 * MIB)
    assert full.value.in_use >= 30 * MIB
    assert kept.size == 30 * MIB


# ---- the error


def test_it_names_the_cause_and_the_remedy() -> None:
    text = str(ArenaFull(300 * MIB, 1024 * MIB, 800 * MIB + 1, 5 * MIB))
    assert "300 MiB" in text
    assert "1,024 MiB" in text
    assert "801 MiB" in text
    assert "5 MiB" in text
    assert "memory=" in text
    assert "three quarters" not in text
    assert "three quarters" in str(ArenaFull(300 * MIB, 1024 * MIB, 700 * MIB, 0))


def test_it_is_a_memory_error_that_travels() -> None:
    error = ArenaFull(3, 2, 1, 0)
    assert isinstance(error, MemoryError)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ArenaFull
    assert (again.asked, again.budget, again.in_use, again.warm) == (3, 2, 1, 0)
    assert str(again) == str(error)
    assert "3 bytes do not fit" in str(error)
    assert str(ArenaFull()).startswith("there is no room")
