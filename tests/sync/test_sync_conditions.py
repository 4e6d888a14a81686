"""Conditions: as the standard library's, but a notification is not lost with who got it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import threading
import weakref
from typing import Any

import pytest

import procession
from procession import _core
from procession._sync.conditions import Condition
from procession._sync.locks import Lock, RLock
from procession.errors.sync import OwnerDied
from tests.sync import waits
from tests.sync.waits import HARMLESS, Crew, Member, interrupted_when, is_waiting_here

FORK = procession.get_context("fork")


@pytest.fixture(params=["stdlib", "procession"])
def source(request: pytest.FixtureRequest) -> Any:
    """Where both kinds come from, for what they must do alike."""
    if request.param == "stdlib":
        return multiprocessing.get_context("fork")

    class Ours:
        Condition, Lock, RLock = Condition, Lock, RLock

    return Ours


# ---- what the standard library's do, too ----


def test_the_lock_is_needed(source: Any) -> None:
    condition = source.Condition()
    with pytest.raises(AssertionError, match=r"must acquire\(\) condition before using wait\(\)"):
        condition.wait()
    with pytest.raises(AssertionError, match="lock is not owned"):
        condition.notify()
    with pytest.raises(AssertionError, match="lock is not owned"):
        condition.notify_all()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_wait_lets_go_of_the_lock_and_takes_it_again(source: Any, kind: str) -> None:
    lock = getattr(source, kind)()
    condition = source.Condition(lock)
    with condition:
        assert condition.wait(0) is False
        assert condition.wait(timeout=0.001) is False
        thread = threading.Thread(target=notify_having_lock, args=(condition, lock))
        thread.start()
        assert condition.wait(60) is True
    thread.join()
    assert lock.acquire(False)
    lock.release()


def notify_having_lock(condition: Any, lock: Any) -> None:
    with lock:
        condition.notify()


def test_a_lock_that_was_taken_twice_is_taken_twice_again(source: Any) -> None:
    condition = source.Condition(source.RLock())
    with condition, condition:
        thread = threading.Thread(target=notify_having_lock, args=(condition, condition))
        thread.start()
        assert condition.wait(60)
        condition.release()
        condition.acquire()
    thread.join()
    with pytest.raises(AssertionError):
        condition.release()


def test_acquire_and_release_are_the_lock_s(source: Any) -> None:
    condition = source.Condition(source.Lock())
    assert condition.acquire()
    assert not condition.acquire(False)
    condition.release()
    with pytest.raises(ValueError, match="released too many times"):
        condition.release()


def test_wait_for(source: Any) -> None:
    condition = source.Condition()
    with condition:
        assert condition.wait_for(lambda: "yes") == "yes"
        assert condition.wait_for(lambda: 0, timeout=0.001) == 0
        answers = iter(["", "", "third"])
        done = threading.Event()
        thread = threading.Thread(target=notify_until, args=(condition, done))
        thread.start()
        assert condition.wait_for(lambda: next(answers)) == "third"
        done.set()
    thread.join()


def notify_until(condition: Any, done: threading.Event) -> None:
    while not done.is_set():
        with condition:
            condition.notify_all()
        os.sched_yield()


def test_repr(source: Any) -> None:
    condition = source.Condition()
    assert repr(condition) == "<Condition(<RLock(None, 0)>, 0)>"
    with condition:
        assert repr(condition) == "<Condition(<RLock(MainProcess, 1)>, 0)>"


def test_the_counts_that_its_users_look_at(source: Any) -> None:
    condition = source.Condition()
    for count in (condition._sleeping_count, condition._woken_count, condition._wait_semaphore):
        assert count.get_value() == 0


# ---- ours ----


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match="must be a Lock or RLock of procession"):
        Condition(threading.Lock())  # type: ignore[arg-type]
    condition = Condition()
    with condition:
        with pytest.raises(TypeError):
            condition.notify("all")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            condition.wait(1, 2)  # type: ignore[call-arg]
        condition.notify(n=3)
        condition.notify(-1)
        assert condition._lock._is_mine()
    with pytest.raises(RuntimeError, match="__init__"):
        Condition.__new__(Condition).notify()


def test_it_travels_with_its_lock() -> None:
    condition = Condition(Lock())
    other = pickle.loads(pickle.dumps(condition))
    with other:
        assert not condition.acquire(False)
        assert not other.wait(0)
        other.notify_all()


def waiting_crew(crew: Crew, condition: Condition, count: int) -> list[Member]:
    """So many that wait, in this order."""
    return [crew.waiting(waits.wait_having_lock, condition) for _ in range(count)]


def test_processes_are_notified(ctx: Any) -> None:
    condition = Condition()
    with Crew(ctx) as crew:
        first, second, third = waiting_crew(crew, condition, 3)
        assert repr(condition).endswith(", 3)>")
        with condition:
            condition.notify()
        assert first.report() is True
        notifier = crew.start(waits.notify_all, condition)
        assert notifier.report() == "done"
        for member in (second, third):
            assert member.report() is True
    assert repr(condition).endswith(", 0)>")


def test_a_notification_passes_over_the_dead(ctx: Any) -> None:
    condition = Condition()
    with Crew(ctx) as crew:
        first, second, third = waiting_crew(crew, condition, 3)
        first.kill()
        second.kill()
        with condition:
            condition.notify()
        assert third.report() is True


def test_notify_all_is_not_held_up_by_the_dead(ctx: Any) -> None:
    condition = Condition()
    with Crew(ctx) as crew:
        members = waiting_crew(crew, condition, 3)
        members.pop(1).kill()
        with condition:
            condition.notify_all()
        assert [member.report() for member in members] == [True, True]
        with condition:
            condition.notify_all()
            assert condition.wait(0.001) is False


def test_who_dies_before_he_has_the_lock_again_is_replaced(ctx: Any) -> None:
    condition = Condition()
    with Crew(ctx) as crew:
        doomed, other = waiting_crew(crew, condition, 2)
        with condition:
            condition.notify()
            doomed.kill()
        assert other.report() is True


def test_who_is_killed_while_stopped_is_replaced() -> None:
    condition = Condition()
    with Crew(FORK) as crew:
        doomed, other = waiting_crew(crew, condition, 2)
        doomed.stop()
        with condition:
            condition.notify()
        doomed.kill()
        assert other.report() is True


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_who_waits_learns_that_the_lock_s_owner_died(ctx: Any, kind: Any) -> None:
    condition = Condition(kind())
    with Crew(ctx) as crew:
        waiter = crew.waiting(waits.wait_having_lock, condition)
        owner = crew.start(waits.stay_with_lock, condition._lock)
        assert owner.report() == "there"
        owner.kill()
        assert waiter.report() == "OwnerDied"
        assert condition._lock.recover()
        condition.release()


def test_a_block_ends_with_what_its_wait_raised() -> None:
    condition = Condition()
    with Crew(FORK) as crew:
        owners: list[Member] = []

        def have_the_lock_die() -> None:
            owner = crew.start(waits.stay_with_lock, condition._lock)
            assert owner.report() == "there"
            owners.append(owner)
            owner.kill()

        def wait() -> None:
            with condition:
                thread.start()
                condition.wait()

        thread = threading.Thread(target=have_the_lock_die)
        with pytest.raises(OwnerDied) as caught:
            wait()
        thread.join()
        assert caught.value.pid == owners[0].process.pid
        assert condition._lock.recover()
        condition.release()


def test_a_recovered_lock_lets_the_wait_go_on() -> None:
    condition = Condition()
    with Crew(FORK) as crew:
        waiter = crew.waiting(waits.wait_having_lock, condition)
        waiter.stop()
        owner = crew.start(waits.stay_with_lock, condition._lock)
        assert owner.report() == "there"
        owner.kill()
        assert condition._lock.recover()
        condition.release()
        assert waiter.process.pid is not None
        os.kill(waiter.process.pid, signal.SIGCONT)
        with condition:
            condition.notify()
        assert waiter.report() is True


def test_an_interrupted_wait_has_the_lock_again() -> None:
    condition = Condition()
    with condition:
        with (
            interrupted_when(is_waiting_here(os.getpid())),
            pytest.raises(KeyboardInterrupt),
        ):
            condition.wait()
        assert condition._lock._is_mine()
        assert condition._waiting() == 0
        condition.notify_all()


def test_a_second_interrupt_does_without_the_lock() -> None:
    condition = Condition(Lock())
    with Crew(FORK) as crew:
        waiter = crew.waiting(waits.wait_and_be_interrupted_twice, condition)
        owner = crew.start(waits.stay_with_lock, condition._lock)
        assert owner.report() == "there"
        assert waiter.process.pid is not None
        before = waiter.stands_at()
        os.kill(waiter.process.pid, waits.HARMLESS)
        while waiter.stands_at() in ([], before):
            os.sched_yield()  # until it waits for the lock
        while not waiter.reports.poll():
            os.kill(waiter.process.pid, waits.HARMLESS)
            os.sched_yield()
        assert waiter.report() == "KeyboardInterrupt"


def test_several_processes_take_turns(ctx: Any) -> None:
    condition = Condition()
    turn = _core.Memory(1)
    with Crew(ctx) as crew:
        members = [
            crew.start(waits.take_turns, condition, turn, number, 4) for number in range(1, 4)
        ]
        waits.take_turns(None, condition, turn, 0, 4)
        assert [member.report() for member in members] == ["done"] * 3


# ---- odd uses ----


def test_what_only_says_that_it_is_a_lock_is_refused() -> None:
    lock = RLock()

    class Proxy:
        __class__ = property(lambda self: RLock)

        def __getattr__(self, name: str) -> Any:
            return getattr(lock, name)

    with pytest.raises(TypeError, match="must be a Lock or RLock of procession"):
        Condition(Proxy())  # type: ignore[arg-type]


def test_who_waits_for_a_lock_that_is_exchanged_has_the_old_one() -> None:
    first = Lock()
    is_there = weakref.ref(first)
    first.acquire()
    condition = Condition(first)
    del first
    thread = threading.Thread(target=condition.__enter__)
    thread.start()
    here = os.getpid()
    while not is_waiting_here(here)():
        os.sched_yield()
    condition._stand_beside(Lock())
    condition._beside(condition._lock)
    lock = is_there()
    assert lock is not None
    lock.release()
    thread.join()
    lock.release()


def test_it_goes_with_a_lock_that_knows_it() -> None:
    """A cycle, and nobody else has either."""
    lock: Any = RLock()
    lock.condition = Condition(lock)
    ends = [weakref.ref(lock), weakref.ref(lock.condition)]
    del lock
    gc.collect()
    assert [end() for end in ends] == [None, None]


@pytest.mark.parametrize("notified", [False, True])
def test_a_signal_handler_that_waits_leaves_the_wait_alone(notified: bool) -> None:
    """Neither ends the other's; and each notification is for one of them."""
    condition, other = Condition(RLock()), Condition()
    inner: list[bool] = []

    def handle(*_: object) -> None:
        with other:
            inner.append(other.wait(0.001))
        if notified:
            with condition:
                condition.notify()

    before = signal.signal(HARMLESS, handle)
    try:
        here = os.getpid()
        is_waiting = is_waiting_here(here)
        sender = _core.fork()
        if sender == 0:
            while not is_waiting():
                os.sched_yield()
            os.kill(here, HARMLESS)
            os._exit(0)
        with condition:
            assert condition.wait(0.5) is notified
        os.waitpid(sender, 0)
    finally:
        signal.signal(HARMLESS, before)
    assert inner == [False]
