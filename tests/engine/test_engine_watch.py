"""The supervisor's clock: late tasks are stopped or killed, and otherwise it sleeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession._engine.crew import SERVE
from procession._engine.deadlines import SECOND
from procession._engine.policy import Fate
from procession._engine.staffing import Life
from procession._engine.watch import STOP_SIGNAL
from tests.engine.crews import Limits, Pool, supervised


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool of two that serve."""
    with supervised(monkeypatch) as pool:
        pool.serve()
        yield pool


def warm(pool: Pool) -> None:
    """The spare is ready."""
    pool.look()
    pool.ready(2)
    pool.look()


def test_a_late_task_is_killed_and_the_spare_takes_over_in_the_same_moment(pool: Pool) -> None:
    pool.engine.limits[7] = Limits(2.0)
    pool.supervisor.watch(2.0)
    warm(pool)
    pool.runs(0, 7, item=4)
    pool.look(1.5)
    assert pool.sleeps == pytest.approx(0.5)
    assert pool.lives()[0] is Life.SERVING
    pool.supervisor.look_around()
    pool.channel.now += SECOND // 2
    pool.supervisor.look_around()
    assert pool.channel.dooms == [(0, 7, 4)]
    assert pool.lives()[0] is Life.DOOMED
    assert pool.channel.duties[2] == SERVE
    pool.look()
    assert [(seat, ended.fate) for seat, ended in pool.engine.buried] == [(0, Fate.TIMED_OUT)]
    assert pool.engine.buried[0][1].cause == Fate.TIMED_OUT.value


def test_with_a_grace_it_is_asked_first(pool: Pool) -> None:
    pool.engine.limits[7] = Limits(2.0, 0.5)
    pool.supervisor.watch(2.0)
    warm(pool)
    pool.runs(1, 7)
    pool.look(2.0)
    assert pool.channel.stops == [(1, 7, 0)]
    assert pool.children[1].signals == [STOP_SIGNAL]
    pool.look(0.25)
    assert pool.sleeps == pytest.approx(0.25)
    pool.look(0.25)
    assert pool.channel.dooms == [(1, 7, 0)]
    assert pool.channel.stops == [(1, 7, 0)]


def test_the_next_item_is_not_killed_for_the_one_before(pool: Pool) -> None:
    pool.engine.limits[7] = Limits(2.0)
    pool.supervisor.watch(2.0)
    pool.runs(0, 7, item=0)
    old = pool.channel.rows[0]
    # Between the snapshot and the kill it goes on.
    snapshots = [[old]]
    pool.channel.seats = lambda: snapshots.pop() if snapshots else pool.channel.rows  # type: ignore[method-assign]
    pool.channel.rows = [old._replace(begun=2, done=1, item_since=pool.channel.now + 2 * SECOND)]
    pool.look(2.0)
    assert pool.channel.dooms == []
    assert pool.lives()[0] is Life.SERVING


def test_the_first_item_is_not_killed_for_the_time_of_unpickling(pool: Pool) -> None:
    pool.engine.limits[7] = Limits(2.0)
    pool.supervisor.watch(2.0)
    pool.runs(0, 7)
    running = pool.channel.rows[0]
    snapshots = [[running._replace(begun=0)]]
    pool.channel.seats = lambda: snapshots.pop() if snapshots else pool.channel.rows  # type: ignore[method-assign]
    pool.channel.rows = [running._replace(item_since=pool.channel.now + 2 * SECOND)]
    pool.look(2.0)
    assert pool.channel.dooms == [(0, 7, None)]
    assert pool.channel.pardons == [0]
    assert pool.lives()[0] is Life.SERVING


def test_who_became_another_user_is_pardoned(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, sentinel: int) -> int:
        raise PermissionError

    monkeypatch.setattr("procession._engine.watch.slay", refuse)
    pool.runs(0, 7)
    assert not pool.supervisor.kill_task(0, 7, None, Fate.CANCELLED)
    assert pool.channel.pardons == [0]
    assert pool.lives()[0] is Life.SERVING


# ---- how long it sleeps


def test_a_shorter_time_out_wakes_it_and_a_longer_one_does_not(pool: Pool) -> None:
    supervisor, channel = pool.supervisor, pool.channel
    supervisor._sleeps_until = channel.now + 5 * SECOND
    supervisor.watch(9.0)
    assert channel.alerts == 0
    supervisor.watch(2.0)
    assert channel.alerts == 1
    supervisor.watch(2.0)
    assert channel.alerts == 1


def test_while_tasks_run_it_looks_no_later_than_one_could_be_late(pool: Pool) -> None:
    pool.supervisor.watch(0.125)
    warm(pool)
    pool.runs(0, 1)
    pool.look()
    assert pool.sleeps == pytest.approx(0.125)


def test_with_nothing_to_do_it_rests_and_is_told_when_there_is_work(pool: Pool) -> None:
    pool.supervisor.watch(0.125)
    warm(pool)
    pool.look(0.9)
    assert pool.sleeps == pytest.approx(0.125)
    assert not pool.engine.is_shrunk
    pool.look(0.2)
    assert pool.engine.is_shrunk
    assert pool.sleeps >= 0.5
    pool.runs(0, 1)
    pool.supervisor.work_came()
    pool.look()
    assert not pool.engine.is_shrunk
    assert pool.sleeps == pytest.approx(0.125)


def test_work_that_comes_while_it_goes_to_rest_is_seen(pool: Pool) -> None:
    pool.supervisor.watch(0.125)
    warm(pool)

    class Idle:
        """Until the engine is asked to tell of work, which is too late for that one."""

        def __get__(self, engine: object, kind: type) -> bool:
            return not pool.engine.is_shrunk

        def __set__(self, engine: object, value: bool) -> None: ...

    kind = type("Engine", (type(pool.engine),), {"is_idle": Idle()})
    pool.engine.__class__ = kind
    pool.channel.now += 2 * SECOND
    pool.supervisor.look_around()
    assert pool.sleeps == pytest.approx(0.125)


def test_without_work_it_sleeps_longer_and_longer(pool: Pool) -> None:
    naps: list[int] = []

    class Poll:
        """Nobody rings; the nap goes by."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def poll(self, milliseconds: int) -> list[tuple[int, int]]:
            naps.append(milliseconds)
            pool.channel.now += milliseconds * 1_000_000
            return []

    real, pool.supervisor._poll = pool.supervisor._poll, Poll()  # type: ignore[assignment]
    for _ in range(8):
        pool.supervisor._sleep()
    assert naps == [1000, 2000, 4000, 8000, 16000, 16000, 16000, 16000]
    pool.runs(0, 1)
    pool.supervisor._sleep()
    assert naps[-1] == 500


def test_it_asks_when_to_look_at_stuck_workers_again(pool: Pool) -> None:
    pool.runs(0, 1)
    pool.engine.sharing.again = 0.05
    pool.look()
    assert pool.engine.sharing.times >= 1
    assert pool.sleeps == pytest.approx(0.05)
    pool.engine.sharing.again = None
    pool.look()
    assert pool.sleeps == pytest.approx(0.5)
