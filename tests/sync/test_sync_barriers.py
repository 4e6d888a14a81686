"""Barriers: as the standard library's, but broken at once when somebody dies who is needed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

import pytest

import procession
from procession import _core
from procession._sync.barriers import Barrier
from tests.sync import waits
from tests.sync.waits import Acting, Crew, interrupted_when, is_waiting_here

FORK = procession.get_context("fork")


@pytest.fixture(params=["stdlib", "procession"])
def make(request: pytest.FixtureRequest) -> Any:
    """Makes both kinds, for what they must do alike."""
    if request.param == "stdlib":
        return multiprocessing.get_context("fork").Barrier
    return Barrier


@pytest.fixture(autouse=True, scope="session")
def _kept_by_the_standard_library(_kept_for_good: None) -> None:
    """Its heap lives as long as this process."""
    multiprocessing.get_context("fork").Barrier(2)


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """What so many threads return or raise, sorted by its text."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(type(error).__name__)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results, key=str)


# ---- what the standard library's do, too ----


def test_each_party_gets_a_number(make: Any) -> None:
    barrier = make(3)
    for _ in range(20):
        assert in_threads(3, barrier.wait) == [0, 1, 2]
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)


def test_one_party_never_waits(make: Any) -> None:
    barrier = make(1)
    assert [barrier.wait() for _ in range(3)] == [0, 0, 0]


def test_the_action_runs_once_before_all_are_let_go(make: Any) -> None:
    done: list[int] = []
    barrier = make(3, lambda: done.append(1))
    assert in_threads(3, lambda: (barrier.wait(), len(done))[1]) == [1, 1, 1]
    assert in_threads(3, lambda: (barrier.wait(), len(done))[1]) == [2, 2, 2]


def test_an_action_that_raises_breaks_it(make: Any) -> None:
    def fail() -> None:
        raise ArithmeticError

    barrier = make(3, fail)
    assert in_threads(3, barrier.wait) == [
        "ArithmeticError",
        "BrokenBarrierError",
        "BrokenBarrierError",
    ]
    assert barrier.broken


def test_a_timeout_breaks_it(make: Any) -> None:
    barrier = make(2, timeout=0.001)
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert (barrier.broken, barrier.n_waiting) == (True, 0)
    with pytest.raises(BrokenBarrierError):
        barrier.wait(60)
    barrier.reset()
    assert not barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait(timeout=0)


def test_a_timeout_of_one_call_goes_before_the_usual_one(make: Any) -> None:
    barrier = make(2, None, 0.001)
    assert in_threads(2, lambda: barrier.wait(60)) == [0, 1]


@pytest.mark.parametrize("end", ["abort", "reset"])
def test_who_waits_is_told(make: Any, end: str) -> None:
    barrier = make(3)
    ended = threading.Thread(target=end_when_two_wait, args=(barrier, end))
    ended.start()
    assert in_threads(2, barrier.wait) == ["BrokenBarrierError"] * 2
    ended.join()
    assert barrier.broken == (end == "abort")


def end_when_two_wait(barrier: Any, end: str) -> None:
    while barrier.n_waiting < 2:
        os.sched_yield()
    getattr(barrier, end)()


def test_reset_and_abort_can_be_done_again(make: Any) -> None:
    barrier = make(2)
    for _ in range(2):
        barrier.reset()
        assert not barrier.broken
    for _ in range(2):
        barrier.abort()
        assert barrier.broken
    barrier.reset()
    assert in_threads(2, barrier.wait) == [0, 1]


def test_it_is_one_of_threading_s(make: Any) -> None:
    assert isinstance(make(2), threading.Barrier)


# ---- ours ----


def test_repr() -> None:
    barrier = Barrier(2)
    assert repr(barrier).endswith(": waiters=0/2>")
    barrier.abort()
    assert repr(barrier).endswith(": broken>")


def test_arguments_are_checked() -> None:
    for parties in (0, -1, 1 << 20):
        with pytest.raises(ValueError, match="parties must be >= 1"):
            Barrier(parties)
    with pytest.raises(TypeError):
        Barrier("two")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Barrier(2).wait("soon")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="__init__"):
        Barrier.__new__(Barrier).abort()


def test_it_travels_with_its_action_and_timeout() -> None:
    barrier = Barrier(1, os.sched_yield, 0.5)
    other = pickle.loads(pickle.dumps(barrier))
    assert (other._action, other._timeout, other.wait()) == (os.sched_yield, 0.5, 0)


def test_processes_meet(ctx: Any) -> None:
    barrier = Barrier(3)
    with Crew(ctx) as crew:
        members = [crew.start(waits.meet, barrier, 50) for _ in range(2)]
        mine = sum(barrier.wait() for _ in range(50))
        assert mine + sum(member.report() for member in members) == 50 * 3
        assert [member.ended() for member in members] == [0, 0]
    assert not barrier.broken


def test_who_dies_waiting_breaks_it(ctx: Any) -> None:
    barrier = Barrier(3)
    with Crew(ctx) as crew:
        doomed, waiter = crew.waiting(waits.wait, barrier), crew.waiting(waits.wait, barrier)
        doomed.kill()
        assert waiter.report() == "BrokenBarrierError"
    assert barrier.broken


def test_who_came_before_and_dies_breaks_it(ctx: Any) -> None:
    barrier = Barrier(2)
    with Crew(ctx) as crew:
        doomed = crew.start(waits.wait_and_stay, barrier)
        waiter = crew.start(waits.wait_twice, barrier)
        for member in (doomed, waiter):
            assert member.report() == "about to"
        assert {doomed.report(), waiter.report()} == {0, 1}
        doomed.kill()
        assert waiter.report() == "about to"
        assert waiter.report() == "BrokenBarrierError"


def test_one_too_many_who_dies_breaks_nothing(ctx: Any) -> None:
    barrier = Barrier(2)
    with Crew(ctx) as crew:
        doomed = crew.start(waits.wait_and_stay, barrier)
        barrier.wait()
        waiter = crew.start(waits.wait_twice, barrier)
        barrier.wait()
        doomed.kill()
        while barrier.n_waiting == 0:
            os.sched_yield()
        assert barrier.wait() == 1
        assert [waiter.report() for _ in range(4)][2:] == ["about to", 0]


def test_it_serves_again_after_a_reset(ctx: Any) -> None:
    barrier = Barrier(2)
    with Crew(ctx) as crew:
        doomed = crew.waiting(waits.wait, barrier)
        doomed.kill()
        with pytest.raises(BrokenBarrierError):
            barrier.wait()
        barrier.reset()
        fresh = crew.start(waits.meet, barrier, 20)
        assert sum(barrier.wait() for _ in range(20)) + fresh.report() == 20
        assert fresh.ended() == 0


def test_who_dies_before_it_came_breaks_it(ctx: Any) -> None:
    barrier = Barrier(2)
    with Crew(ctx) as crew:
        doomed = crew.start(waits.stay, barrier)
        assert doomed.report() == "there"
        waiter = crew.waiting(waits.wait, barrier)
        doomed.kill()
        assert waiter.report() == "BrokenBarrierError"


def test_who_ends_by_itself_breaks_nothing(ctx: Any) -> None:
    barrier = Barrier(2)
    with Crew(ctx) as crew:
        for _ in range(3):
            member = crew.start(waits.meet, barrier, 1)
            assert barrier.wait() + member.report() == 1
            assert member.ended() == 0
            _core.sweep()


def test_who_dies_in_the_action_breaks_it(ctx: Any) -> None:
    reports, theirs = ctx.Pipe(duplex=False)
    with Crew(ctx) as crew, reports, theirs:
        barrier = Barrier(2, Acting(theirs, os.getpid()))
        waiter = threading.Thread(target=die_waiting, args=(barrier,))
        waiter.start()
        while barrier.n_waiting == 0:
            os.sched_yield()
        crew.start(waits.meet, barrier, 1)
        assert reports.recv() == "acts"
        waiter.join()
        assert barrier.broken


def die_waiting(barrier: Barrier) -> None:
    with pytest.raises(BrokenBarrierError):
        barrier.wait()


def test_a_stopped_party_is_waited_for() -> None:
    barrier = Barrier(2)
    with Crew(FORK) as crew:
        stopped = crew.start(waits.stay, barrier)
        assert stopped.report() == "there"
        stopped.stop()
        with pytest.raises(BrokenBarrierError):
            barrier.wait(0.05)
        assert barrier.broken  # by the timeout


def test_who_is_interrupted_is_not_counted() -> None:
    barrier = Barrier(2)
    with interrupted_when(is_waiting_here(os.getpid())), pytest.raises(KeyboardInterrupt):
        barrier.wait()
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    assert in_threads(2, barrier.wait) == [0, 1]


def test_who_comes_while_the_last_one_acts_waits_for_the_next_round() -> None:
    acting, go_on = threading.Event(), threading.Event()

    def act() -> None:
        acting.set()
        go_on.wait()

    barrier = Barrier(2, act)
    first = threading.Thread(target=in_threads, args=(2, barrier.wait))
    first.start()
    acting.wait()
    results: list[Any] = []
    second = threading.Thread(target=lambda: results.append(in_threads(2, barrier.wait)))
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert results == [[0, 1]]
