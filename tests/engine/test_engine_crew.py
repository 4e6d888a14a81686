"""A crew is kept as the plan wants it: hired, replaced, made larger and smaller."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from procession._engine import supervisor
from procession._engine.crew import BENCH, FEWEST_SEATS, LEAVE, MOST_SEATS, SERVE, seats_for
from procession._engine.deadlines import SECOND
from procession._engine.foreman import FORGOTTEN, SPARE_AFTER
from procession._engine.policy import Fate, PoolState
from procession._engine.staffing import Life
from tests.engine.crews import Pool, supervised

Supervised = Callable[..., AbstractContextManager[Pool]]


@pytest.fixture
def supervise(monkeypatch: pytest.MonkeyPatch) -> Supervised:
    """Make such a pool, and close it."""
    return partial(supervised, monkeypatch)


@pytest.fixture
def pool(supervise: Supervised) -> Iterator[Pool]:
    """A pool of two that serve."""
    with supervise() as pool:
        pool.serve()
        yield pool


def test_seats() -> None:
    assert [seats_for(n) for n in (1, 64, 65, 1000, 5000)] == [
        FEWEST_SEATS,
        FEWEST_SEATS,
        260,
        MOST_SEATS,
        MOST_SEATS,
    ]


def test_the_first_crew_sits_on_the_first_seats(pool: Pool) -> None:
    assert pool.lives() == {0: Life.SERVING, 1: Life.SERVING}
    assert pool.channel.duties == {0: SERVE, 1: SERVE}


def test_who_dies_is_buried_and_replaced_at_once(pool: Pool) -> None:
    pool.runs(0, 7)
    child = pool.children[0]
    child.end(-signal.SIGSEGV)
    pool.look()
    [(seat, ended)] = pool.engine.buried
    assert (seat, ended.pid, ended.exitcode, ended.fate) == (0, child.pid, -11, Fate.DIED)
    assert ended.cause is not None
    assert pool.lives() == {0: Life.STARTING, 1: Life.SERVING}
    assert pool.children[0] is not child


def test_exit_code_0_is_a_death_only_under_a_task(pool: Pool) -> None:
    pool.runs(1, 7)
    for child in list(pool.children.values()):
        child.end(0)
    pool.look()
    fates = {seat: ended.fate for seat, ended in pool.engine.buried}
    assert fates == {0: Fate.RETIRED, 1: Fate.DIED}


def test_what_the_dead_one_wrote_is_told_once(pool: Pool) -> None:
    pool.diary.open(0).note("the last line\n")
    for _ in range(2):
        pool.children[0].end(1)
        pool.look()
    assert [ended.output for _, ended in pool.engine.buried] == ["the last line\n", ""]


# ---- replaced in order


def test_one_that_retires_works_until_its_successor_is_warm(pool: Pool) -> None:
    pool.retires(0)
    pool.look()
    assert pool.lives() == {0: Life.RETIRING, 1: Life.SERVING, 2: Life.WARMING}
    assert pool.channel.duties == {0: SERVE, 1: SERVE, 2: BENCH}
    pool.ready(2)
    pool.look()
    assert pool.lives() == {0: Life.LEAVING, 1: Life.SERVING, 2: Life.BENCH}
    assert pool.channel.duties == {0: LEAVE, 1: SERVE, 2: BENCH}
    pool.children[0].end(0)
    pool.look()
    assert pool.lives() == {1: Life.SERVING, 2: Life.SERVING}
    assert pool.channel.duties == {0: LEAVE, 1: SERVE, 2: SERVE}
    assert pool.started == 3


def test_an_old_one_is_replaced_one_after_the_other(supervise: Supervised) -> None:
    with supervise(workers=2, max_age=60) as pool:
        pool.serve()
        assert pool.sleeps <= 60
        pool.look(59.9)
        assert set(pool.lives().values()) == {Life.SERVING}
        pool.look(0.2)
        assert list(pool.lives().values()) == [Life.RETIRING, Life.SERVING, Life.WARMING]
        pool.ready(2)
        pool.look()
        pool.children[0].end(0)
        pool.look()
        assert pool.lives() == {0: Life.WARMING, 1: Life.RETIRING, 2: Life.SERVING}


# ---- larger and smaller


def test_resize(pool: Pool) -> None:
    pool.supervisor.resize(3)
    pool.look()
    assert pool.lives()[2] is Life.STARTING
    assert pool.engine.workers == 3
    pool.ready(2)
    pool.supervisor.resize(1)
    pool.look()
    assert pool.lives() == {0: Life.SERVING, 1: Life.LEAVING, 2: Life.LEAVING}
    for seat in (1, 2):
        pool.children[seat].end(0)
    pool.look()
    assert pool.lives() == {0: Life.SERVING}


@pytest.mark.parametrize("workers", [0, -1, 17])
def test_impossible_sizes(pool: Pool, workers: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 16 workers, not {workers}"):
        pool.supervisor.resize(workers)
    assert pool.engine.workers == 2


def test_a_crew_with_nothing_to_do_becomes_small_and_large_again(supervise: Supervised) -> None:
    with supervise(workers=3, idle_timeout=10) as pool:
        pool.serve()
        pool.supervisor.want_spare()
        pool.look()
        pool.ready(3)
        pool.look(9.9)
        assert len(pool.lives()) == 4
        pool.look(0.2)
        assert [life for life in pool.lives().values() if life is not Life.LEAVING] == [
            Life.SERVING
        ]
        assert pool.engine.is_shrunk
        for seat in (1, 2, 3):
            pool.children[seat].end(0)
        pool.look()
        assert pool.lives() == {0: Life.SERVING}
        pool.runs(0, 1)
        pool.supervisor.work_came()
        pool.look()
        assert list(pool.lives().values()) == [
            Life.SERVING,
            Life.STARTING,
            Life.STARTING,
            Life.WARMING,
        ]
        assert not pool.engine.is_shrunk


def test_work_postpones_it(supervise: Supervised) -> None:
    with supervise(workers=2, idle_timeout=10) as pool:
        pool.serve()
        pool.runs(0, 1)
        pool.look(11)
        assert not pool.engine.is_shrunk
        pool.engine.is_idle = True
        pool.look(9)
        pool.engine.ledger.last += 1  # came and went between two looks
        pool.look(9)
        pool.look(9)
        assert not pool.engine.is_shrunk
        pool.look(2)
        assert pool.engine.is_shrunk


# ---- the spare


def test_a_spare_takes_over_at_once(pool: Pool) -> None:
    pool.supervisor.want_spare()
    pool.look()
    pool.ready(2)
    pool.look()
    assert pool.lives() == {0: Life.SERVING, 1: Life.SERVING, 2: Life.BENCH}
    pool.runs(1, 5)
    assert pool.supervisor.kill_task(1, 5, None, Fate.CANCELLED)
    assert pool.channel.dooms == [(1, 5, None)]
    pool.look()
    assert pool.lives() == {0: Life.SERVING, 2: Life.SERVING}
    assert pool.engine.buried[0][1].fate is Fate.CANCELLED


def test_the_next_spare_is_hired_a_moment_later(pool: Pool) -> None:
    pool.supervisor.want_spare()
    pool.look()
    pool.ready(2)
    pool.children[2].dies_of = frozenset()  # it takes its time to end
    pool.runs(1, 5)
    pool.children[1].dies_of = frozenset()
    assert pool.supervisor.kill_task(1, 5, None, Fate.CANCELLED)
    pool.look()
    assert pool.lives() == {0: Life.SERVING, 1: Life.DOOMED, 2: Life.SERVING}
    pool.look(10)
    assert pool.lives() == {0: Life.SERVING, 1: Life.DOOMED, 2: Life.SERVING}
    pool.children[1].end(-signal.SIGKILL)
    pool.look()
    assert pool.lives() == {0: Life.SERVING, 2: Life.SERVING}
    assert pool.sleeps == pytest.approx(SPARE_AFTER / SECOND)
    pool.look(SPARE_AFTER / SECOND)
    assert pool.lives() == {0: Life.SERVING, 1: Life.WARMING, 2: Life.SERVING}


def test_a_place_that_is_free_does_not_wait_for_that_moment(pool: Pool) -> None:
    pool.supervisor.want_spare()
    pool.look()
    pool.ready(2)
    for child in list(pool.children.values()):
        child.end(-signal.SIGKILL)
    pool.look()
    assert pool.lives() == {0: Life.STARTING, 1: Life.STARTING}
    pool.look(SPARE_AFTER / SECOND)
    assert pool.lives() == {0: Life.STARTING, 1: Life.STARTING, 2: Life.WARMING}


def test_who_leaves_or_never_was_ready_does_not_hold_back_the_spare(pool: Pool) -> None:
    pool.children[0].end(0)  # after its last task
    pool.look()
    pool.children[0].end(-signal.SIGKILL)  # before it was ready
    pool.look()
    pool.supervisor.want_spare()
    pool.look()
    assert pool.lives() == {0: Life.STARTING, 1: Life.SERVING, 2: Life.WARMING}


def test_two_that_memory_was_short_for_bring_no_spare(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.supervisor._oom_kills = pool.supervisor._oom_kills_at_first = 5
    monkeypatch.setattr(supervisor, "oom_kills", lambda: 7)
    for child in list(pool.children.values()):
        child.end(-signal.SIGKILL)
    pool.look()
    pool.ready(0, 1)
    pool.look(SPARE_AFTER / SECOND)
    assert pool.lives() == {0: Life.SERVING, 1: Life.SERVING}


@pytest.mark.parametrize("why", ["killed", "memory was short", "left", "never ready"])
def test_after_a_death_a_spare_is_kept(
    why: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = [5, 6] if why == "memory was short" else [5, 5]
    pool.supervisor._oom_kills = pool.supervisor._oom_kills_at_first = counted[0]
    monkeypatch.setattr(supervisor, "oom_kills", lambda: counted[1])
    if why == "never ready":
        pool.children[1].end(0)
        pool.look()
    pool.children[1].end(0 if why == "left" else -signal.SIGKILL)
    pool.look()
    pool.ready(1)
    pool.look(SPARE_AFTER / SECOND)
    spare = {2: Life.WARMING} if why == "killed" else {}
    assert pool.lives() == {0: Life.SERVING, 1: Life.SERVING, **spare}


def test_what_is_not_at_that_task_is_not_killed(pool: Pool) -> None:
    pool.runs(1, 5, item=3)
    assert not pool.supervisor.kill_task(0, 5, None, Fate.CANCELLED)
    assert not pool.supervisor.kill_task(1, 6, None, Fate.CANCELLED)
    assert not pool.supervisor.kill_task(1, 5, 2, Fate.CANCELLED)
    assert not pool.supervisor.kill_task(9, 5, None, Fate.CANCELLED)
    assert pool.lives() == {0: Life.SERVING, 1: Life.SERVING}
    assert pool.supervisor.kill_task(1, 5, 3, Fate.CANCELLED)
    assert not pool.supervisor.kill_task(1, 5, 3, Fate.CANCELLED)


# ---- starts that fail


def test_a_failing_initializer_is_reported_once_and_nobody_else_is_hired(
    supervise: Supervised,
) -> None:
    with supervise() as pool:
        pool.look()
        pool.engine.news.append(lambda: pool.supervisor.initializer_failed(b"why"))
        pool.children[0].end(1)
        pool.look()
        assert pool.engine.causes == [b"why"]
        assert pool.started == 2


def test_workers_that_exit_before_they_are_ready_break_the_pool_soon(
    supervise: Supervised,
) -> None:
    with supervise() as pool:
        pool.look()
        while not pool.engine.causes:
            for child in list(pool.children.values()):
                child.end(3)
            pool.look()
        assert str(pool.engine.causes[0]).endswith("ended before it was ready: exit code 3")
        assert pool.started < 10


def test_workers_that_are_killed_before_they_are_ready_are_borne_for_longer(
    supervise: Supervised,
) -> None:
    with supervise() as pool:
        pool.look()
        for _ in range(20):
            pool.children[0].end(-9)
            pool.look()
        assert pool.engine.causes == []
        pool.ready(0, 1)
        pool.look()
        assert set(pool.lives().values()) == {Life.SERVING}


def ends_again_and_again(
    pool: Pool, code: int, *, task: bool = False, after: float = 0
) -> list[float]:
    """The worker of the first seat ends eight times; the waits until it was replaced."""
    waits = []
    for number in range(1, 9):
        if task:
            pool.runs(0, number)
        pool.look(after)
        pool.children[0].end(code)
        waits.append(0.0)
        pool.look()
        while 0 not in pool.lives():
            waits[-1] += pool.sleeps
            pool.look(pool.sleeps)
        pool.ready(0)
        pool.look()
    return waits


@pytest.mark.parametrize("code", [0, 3])
def test_who_ends_by_itself_as_soon_as_it_is_ready_is_replaced_ever_more_slowly(
    supervise: Supervised, code: int
) -> None:
    with supervise(workers=1) as pool:
        pool.serve()
        waits = ends_again_and_again(pool, code)
        assert waits == pytest.approx([0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1.6])
        pool.runs(0, 1)
        pool.children[0].end(code)
        pool.look(0.1)
        assert max(ends_again_and_again(pool, code)[:3]) < 0.1  # there was a task: all is well
        pool.look(FORGOTTEN / SECOND)
        assert max(ends_again_and_again(pool, code)[:3]) < 0.1  # it is long ago


def test_a_crew_that_ends_all_at_once_is_replaced_at_once(supervise: Supervised) -> None:
    with supervise(workers=8) as pool:
        pool.serve()
        for child in list(pool.children.values()):
            child.end(0)
        pool.look()
        assert len(pool.lives()) == 8


def test_who_is_lost_in_a_task_is_replaced_at_once_whoever_else_ends(
    supervise: Supervised,
) -> None:
    with supervise(workers=2) as pool:
        pool.serve()
        ends_again_and_again(pool, 0)
        pool.children[0].end(0)
        pool.look()
        assert 0 not in pool.lives()
        pool.runs(1, 1)
        pool.children[1].end(-9)
        pool.look()
        assert len(pool.lives()) == 2


@pytest.mark.parametrize(
    "how",
    [{"code": -9}, {"code": 255}, {"code": 3, "task": True}, {"code": 0, "after": 1}],
    ids=["killed", "nobody knows how", "in a task", "later"],
)
def test_who_ends_otherwise_is_replaced_at_once(pool: Pool, how: dict[str, Any]) -> None:
    assert ends_again_and_again(pool, **how) == [0] * 8


def test_no_room_is_waited_for(pool: Pool) -> None:
    pool.no_room = 3
    pool.children[0].end(1)
    waited = []
    pool.look()
    while 0 not in pool.lives():
        waited.append(pool.sleeps)
        pool.look(pool.sleeps)
    until_a_spare_may_come = SPARE_AFTER / SECOND
    assert waited == pytest.approx([until_a_spare_may_come, 0.1 - until_a_spare_may_come, 0.2, 0.4])


def test_without_anybody_no_room_breaks_the_pool(supervise: Supervised) -> None:
    with supervise() as pool:
        pool.no_room = 10_000
        pool.look()
        tries = 0
        while not pool.engine.causes:
            pool.look(0.1)
            tries += 1
            assert tries < 200
        assert isinstance(pool.engine.causes[0], OSError)


def test_who_is_ready_before_its_start_is_told_counts(supervise: Supervised) -> None:
    with supervise(workers=1) as pool:
        start = pool.crew._start

        def fast(seat: int, known: Any) -> None:
            pool.supervisor.worker_is_ready(seat)
            start(seat, known)

        pool.crew._start = fast
        pool.look()
        assert pool.lives() == {0: Life.SERVING}


# ---- the end


def test_closing_with_work_left_keeps_the_crew(pool: Pool) -> None:
    pool.runs(0, 1)
    pool.engine.state = PoolState.CLOSING
    pool.children[1].end(0)
    assert not pool.look()
    assert len(pool.lives()) == 2
    pool.engine.is_idle = True
    for child in list(pool.children.values()):
        child.end(0)
    assert pool.look()
    assert pool.lives() == {}


def test_terminating_is_sigterm_and_then_sigkill(pool: Pool) -> None:
    pool.engine.state = PoolState.TERMINATING
    assert not pool.look()
    assert not pool.look(0.9)
    assert pool.sleeps <= 0.1
    assert [child.signals for child in pool.children.values()] == [[signal.SIGTERM]] * 2
    pool.look(0.2)
    assert pool.look()
    assert pool.lives() == {}


def test_run_ends_and_gives_everything_back(supervise: Supervised) -> None:
    with supervise() as pool:
        pool.serve()
        pool.engine.state = PoolState.TERMINATING
        for child in pool.children.values():
            child.dies_of = frozenset({signal.SIGTERM})
        pool.supervisor.run()
        assert pool.engine.is_finished
        assert not pool.supervisor.is_watching
        assert pool.diary.fileno() == -1
        pool.supervisor.wake()  # no error, whoever comes too late
