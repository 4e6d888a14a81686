"""Semaphores: as the standard library's, but the permits of the dead are not lost."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession._sync.locks import BoundedSemaphore, Semaphore
from procession.errors.sync import OwnerDied
from tests.sync.forks import Forked, run_forked, shared_numbers
from tests.sync.kinds import Kinds

METHODS = ("fork", "spawn", "forkserver")
MOST = 2147483647


@pytest.fixture(params=["stdlib", "procession"])
def kinds(request: pytest.FixtureRequest) -> Kinds:
    """What both must do alike."""
    return Kinds(ours=request.param == "procession")


# ---- what the standard library's do, too ----


def test_permits_are_counted(kinds: Kinds) -> None:
    semaphore = kinds.Semaphore(2)
    assert semaphore.get_value() == 2
    assert semaphore.acquire() is True
    assert semaphore.acquire(True, 0) is True
    assert semaphore.get_value() == 0
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(timeout=-1) is False
    assert semaphore.acquire(block=True, timeout=0.001) is False
    for value in (1, 2, 3):  # it has no bound
        assert semaphore.release() is None
        assert semaphore.get_value() == value
    with semaphore as taken:
        assert taken is True
        assert semaphore.get_value() == 2
    assert kinds.Semaphore().get_value() == 1
    assert kinds.Semaphore(0).acquire(False) is False


def test_a_bound_is_kept(kinds: Kinds) -> None:
    refused = "^semaphore or lock released too many times$"
    semaphore = kinds.BoundedSemaphore(2)
    with pytest.raises(ValueError, match=refused):
        semaphore.release()
    with semaphore, semaphore:
        assert semaphore.acquire(False) is False
    with pytest.raises(ValueError, match=refused):
        semaphore.release()
    full = kinds.Semaphore(MOST)
    with pytest.raises(ValueError, match=refused):
        full.release()


def test_how_they_look(kinds: Kinds) -> None:
    assert repr(kinds.Semaphore(3)) == "<Semaphore(value=3)>"
    bounded = kinds.BoundedSemaphore(2)
    with bounded:
        assert repr(bounded) == "<BoundedSemaphore(value=1, maxvalue=2)>"


def test_waiting_takes_as_long_as_it_should(kinds: Kinds) -> None:
    semaphore = kinds.Semaphore(0)
    for timeout in (0.001, 0.03):
        before = time.monotonic()
        assert semaphore.acquire(timeout=timeout) is False
        assert time.monotonic() - before >= timeout


def test_every_permit_wakes_one(kinds: Kinds) -> None:
    """One side gives, others take, all the time with nothing left between."""
    semaphore, taken = kinds.Semaphore(0), shared_numbers(3)

    def take(me: int) -> None:
        for _ in range(100):
            semaphore.acquire()
            taken[me] += 1

    children = [Forked(lambda: take(me)) for me in range(3)]  # noqa: B023
    for number in range(300):
        semaphore.release()
        while sum(taken) <= number and number % 10 == 0:
            time.sleep(0)
    for child in children:
        child.result()
    assert semaphore.get_value() == 0


def test_threads_and_processes_share_the_permits(kinds: Kinds) -> None:
    semaphore, inside = kinds.Semaphore(2), shared_numbers(4)

    def work(me: int) -> None:
        for _ in range(100):
            with semaphore:
                inside[me] = 1
                assert sum(inside) <= 2
                time.sleep(0)
                inside[me] = 0

    def work_in_threads(first: int) -> None:
        threads = [threading.Thread(target=work, args=(first + i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = [Forked(lambda: work_in_threads(first)) for first in (0, 2)]  # noqa: B023
    for child in children:
        child.result()
    assert semaphore.get_value() == 2


def test_a_signal_handler_runs_while_one_waits(kinds: Kinds) -> None:
    runs: list[int] = []

    def handler(number: int, frame: object) -> None:
        runs.append(number)
        if len(runs) == 2:
            semaphore.release()

    before = signal.signal(signal.SIGUSR1, handler)
    semaphore, done = kinds.Semaphore(0), threading.Event()

    def send() -> None:
        while not done.wait(0.002):
            os.kill(os.getpid(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    try:
        sender.start()
        assert semaphore.acquire() is True
    finally:
        done.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(runs) >= 2


# ---- what only ours do ----


def take_and_stay(semaphore: Any, permits: int, ready: Any) -> None:
    """Take some, tell, and wait to be killed."""
    for _ in range(permits):
        semaphore.acquire()
    ready.send(None)
    signal.pause()


@pytest.fixture(params=METHODS)
def dead_owner(request: pytest.FixtureRequest) -> Callable[[Any, int], int]:
    """Have a process of each start method take permits and die; its process id."""
    context: Any = procession.get_context(request.param)

    def die_with(semaphore: Any, permits: int) -> int:
        here, there = context.Pipe(False)
        arguments = (semaphore, permits, there)
        process = context.Process(target=take_and_stay, args=arguments, name="Taker")
        process.start()
        there.close()
        here.recv()
        here.close()
        pid: int = process.pid
        os.kill(pid, signal.SIGKILL)
        process.join()
        process.close()
        return pid

    return die_with


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_who_would_wait_for_the_dead_is_told_until_it_is_recovered(
    kind: type[Semaphore], dead_owner: Callable[[Any, int], int]
) -> None:
    semaphore = kind(3)
    pid = dead_owner(semaphore, 2)
    assert semaphore.acquire() is True  # the one that is left
    for arguments in ((), (True, 5), (True, 0.001)):
        with pytest.raises(OwnerDied) as told:
            semaphore.acquire(*arguments)
        assert (told.value.thing, told.value.pid) == (kind.__name__, pid)
        assert told.value.name == "Taker"
        assert told.value.place.startswith("take_and_stay (test_sync_semaphores.py:")
    assert semaphore.acquire(False) is False
    assert semaphore.recover() == 2
    assert semaphore.recover() == 0
    assert semaphore.get_value() == 2
    with semaphore, semaphore:
        assert semaphore.acquire(timeout=0.03) is False  # we have all three
    semaphore.release()
    assert semaphore.get_value() == 3


def test_one_who_just_ends_with_permits_counts_as_dead() -> None:
    semaphore = Semaphore(1)
    assert run_forked(semaphore.acquire) is True
    with pytest.raises(OwnerDied):
        semaphore.acquire()
    assert semaphore.recover() == 1


def test_the_permits_of_a_signal_are_nobodys() -> None:
    """Whoever gives what it did not take, makes it one."""
    semaphore = Semaphore(0)
    semaphore.release()
    assert run_forked(semaphore.acquire) is True
    assert semaphore.acquire(timeout=0.03) is False
    assert semaphore.recover() == 0
    semaphore.release()
    assert semaphore.acquire() is True


def test_however_many_recover_each_permit_comes_back_once() -> None:
    semaphore = Semaphore(3)

    def own() -> None:
        while semaphore.acquire(False):
            pass
        signal.pause()

    def wait() -> int:
        recovered = 0
        while True:
            try:
                semaphore.acquire()
            except OwnerDied:
                recovered += semaphore.recover()
            else:
                semaphore.release()
                return recovered

    owner = Forked(own)
    while semaphore.get_value():
        time.sleep(0.001)
    waiters = [Forked(wait) for _ in range(4)]
    owner.kill()
    assert sum(waiter.result() for waiter in waiters) == 3
    assert semaphore.get_value() == 3


@pytest.mark.watchdog(120)
def test_each_of_many_gets_its_share() -> None:
    """Eight processes want one of two permits all the time, until each has had it so often."""
    semaphore, shares = Semaphore(2), shared_numbers(8)

    def hammer(me: int) -> None:
        while min(shares) < 10:
            with semaphore:
                shares[me] += 1

    children = [Forked(lambda: hammer(me)) for me in range(8)]  # noqa: B023
    for child in children:
        child.result()
    assert semaphore.get_value() == 2


def test_a_copy_is_the_same_semaphore() -> None:
    for semaphore in (Semaphore(2), BoundedSemaphore(2)):
        copy = pickle.loads(pickle.dumps(semaphore))
        copy.acquire()
        assert (type(copy), semaphore.get_value()) == (type(semaphore), 1)
        semaphore.release()


@pytest.mark.parametrize("value", [-1, MOST + 1])
def test_there_can_not_be_so_many(value: int) -> None:
    for kind in (Semaphore, BoundedSemaphore):
        with pytest.raises(ValueError, match=f"0 to {MOST} permits, not {value}"):
            kind(value)


def test_a_semaphore_that_was_not_made_says_so() -> None:
    class Forgetful(Semaphore):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Forgetful().release()
