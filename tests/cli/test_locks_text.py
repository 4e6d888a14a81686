"""What ``procession locks`` prints."""

from __future__ import annotations

import pytest

from procession._cli import holdings
from procession._observe.census import Census, Hold, Process, Thing, Wait
from procession._observe.deadlocks import Deadlock, Step

SECOND = 10**9
NOW = 1000 * SECOND

MAIN = Process(1, 0, 100, "MainProcess")


def text(
    things: tuple[Thing, ...],
    holds: tuple[Hold, ...] = (),
    waits: tuple[Wait, ...] = (),
    found: tuple[Deadlock, ...] = (),
    *,
    everything: bool = False,
) -> list[str]:
    """The lines below the first one."""
    census = Census(NOW, (MAIN,), things, holds, waits)
    head, empty, *lines = holdings.as_text(census, found, everything=everything).splitlines()
    assert head.startswith("1 process, ")
    assert empty == ""
    return lines


def test_columns() -> None:
    holds = (
        Hold(5, 2, 200, name="a-long-name", place="work (jobs.py:5)"),
        Hold(6, 1, 100, name="MainProcess"),
    )
    waits = (
        Wait(5, 1, 100, 1, NOW - 3200_000_000, name="MainProcess", place="main (jobs.py:50)"),
        Wait(6, 2, 200, 1, NOW - 75 * SECOND, name="a-long-name"),
    )
    assert text((Thing(5, "Lock", 2), Thing(6, "Lock", 1)), holds, waits) == [
        "Lock 5",
        "  held by     a-long-name (pid 200)  in work (jobs.py:5)",
        "  awaited by  MainProcess (pid 100)  in main (jobs.py:50)  for 3.2 s",
        "",
        "Lock 6",
        "  held by     MainProcess (pid 100)",
        "  awaited by  a-long-name (pid 200)                        for 1 min 15 s",
    ]


def test_who_died() -> None:
    known = Hold(5, 2, 200, name="worker", place="work (jobs.py:5)", alive=False)
    assert text((Thing(5, "Lock", 2),), (known,)) == [
        "Lock 5",
        "  held by  worker (pid 200)  in work (jobs.py:5)  died with it",
    ]
    assert text((Thing(5, "Lock", 2),)) == [
        "Lock 5",
        "  held by  a process that is gone  died with it",
    ]


def test_permits() -> None:
    holds = (
        Hold(5, 2, 200, count=2, name="two"),
        Hold(5, 3, 300, count=1, name="one"),
        Hold(5, 4, 400, count=2, name="gone", alive=False),
    )
    lines = text((Thing(5, "Semaphore", value=1, initial=6),), holds)
    assert [line.split() for line in lines] == [
        ["Semaphore", "5:", "1", "of", "6", "free"],
        ["held", "by", "two", "(pid", "200)", "2", "permits"],
        ["held", "by", "one", "(pid", "300)"],
        ["held", "by", "gone", "(pid", "400)", "2", "permits,", "died", "with", "it"],
    ]


def test_how_one_waits() -> None:
    waits = (
        Wait(5, 2, 200, 1, NOW - SECOND, timed=True, name="hasty"),
        Wait(5, 3, 300, 1, NOW - SECOND, notified=True, name="called"),
        Wait(5, 4, 400, 1, NOW + SECOND, name="just come"),
        Wait(5, 6, 600, 1, NOW, name="dead", alive=False),
    )
    lines = text((Thing(5, "Condition"),), (), waits)
    assert [line.partition(")")[2].strip() for line in lines] == [
        "",
        "for 1.0 s, with a timeout",
        "for 1.0 s, notified",
        "for 0.0 s",
    ]


def test_what_one_waits_for_at_a_queue() -> None:
    wait = Wait(5, 2, 200, 1, NOW - SECOND, name="worker", purpose="get")
    assert text((Thing(5, "Queue"),), (), (wait,)) == [
        "Queue 5: 0 items",
        "  awaited by  worker (pid 200)  to get, for 1.0 s",
    ]


def test_threads_are_named_where_there_are_several() -> None:
    holds = (Hold(5, 1, 100, 77, name="MainProcess"), Hold(6, 2, 200, 88, name="worker"))
    waits = (Wait(5, 1, 100, 78, NOW, name="MainProcess"), Wait(5, 2, 200, 88, NOW, name="worker"))
    lines = text((Thing(5, "Lock", 1), Thing(6, "Lock", 2)), holds, waits)
    assert [line.partition("by")[2].partition("  for")[0].strip() for line in lines] == [
        "",
        "MainProcess (pid 100, thread 77)",
        "MainProcess (pid 100, thread 78)",
        "worker (pid 200)",
        "",
        "",
        "worker (pid 200)",
    ]


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (Thing(5, "Lock"), "Lock 5: free"),
        (Thing(5, "Lock", recursive=True), "RLock 5: free"),
        (Thing(5, "Semaphore", value=2, initial=3), "Semaphore 5: 2 of 3 free"),
        (Thing(5, "Semaphore", value=4, initial=3), "Semaphore 5: 4 free"),
        (Thing(5, "Semaphore", value=1, initial=3, signals=True), "Semaphore 5: 1 free"),
        (Thing(5, "Event"), "Event 5: not set"),
        (Thing(5, "Event", value=1), "Event 5: set"),
        (Thing(5, "Condition"), "Condition 5"),
        (Thing(5, "Barrier", value=1, most=3), "Barrier 5: 1 of 3 have come"),
        (Thing(5, "Barrier", value=1, most=3, broken=True), "Barrier 5: broken"),
        (Thing(5, "Queue", value=1), "Queue 5: 1 item"),
        (Thing(5, "Queue", value=3, most=9), "Queue 5: 3 items of at most 9"),
        (Thing(5, "Queue", closed=True), "Queue 5: 0 items, shut down"),
        (Thing(5, "Memory", value=100), "Memory 5: 100 bytes"),
        (Thing(5, ""), "object 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_a_thing_stands(thing: Thing, shown: str) -> None:
    assert text((thing,), everything=True) == [shown]
    assert text((thing,)) == ["nothing is held, and nobody waits"]


def circle(*, certain: bool, thread: int = 1) -> Deadlock:
    names = {1: "MainProcess", 2: "worker"}

    def step(waiter: int, thing: int, holder: int) -> Step:
        return Step(
            Wait(thing, waiter, 100 * waiter, 1, NOW, name=names[waiter]),
            Hold(thing, holder, 100 * holder, thread, 1, names[holder]),
        )

    return Deadlock((step(1, 6, 2), step(2, 5, 1)), certain)


def test_a_deadlock() -> None:
    things = (Thing(5, "Lock"), Thing(6, "Semaphore"))
    assert text(things, (), (), (circle(certain=True),))[2:] == [
        "deadlock: MainProcess (pid 100) waits for Semaphore 6, which worker (pid 200) holds",
        "          worker (pid 200) waits for Lock 5, which MainProcess (pid 100) holds",
    ]


def test_perhaps_a_deadlock() -> None:
    things = (Thing(5, "Lock"), Thing(6, "Lock"))
    assert text(things, (), (), (circle(certain=False, thread=0),))[2:] == [
        "perhaps a deadlock: MainProcess (pid 100) waits for Lock 6, which worker (pid 200) holds",
        "                    worker (pid 200) waits for Lock 5, which MainProcess (pid 100) holds",
        "(unless another thread of one of them gives back what it holds)",
    ]


def test_one_that_waits_for_itself() -> None:
    step = Step(Wait(5, 1, 100, 7, NOW, name="MainProcess"), Hold(5, 1, 100, 7))
    assert text((Thing(5, "Lock"),), (), (), (Deadlock((step,), True),))[2:] == [
        "deadlock: MainProcess (pid 100) waits for Lock 5, which it holds itself"
    ]


def test_several_processes_and_the_dead_among_them() -> None:
    dead = Process(3, 1, 300, "Process-2", alive=False)
    census = Census(NOW, (MAIN, Process(2, 1, 200, "Process-1"), dead))
    assert holdings.as_text(census, ()).splitlines()[0] == "2 processes, 0 shared objects"
    data = holdings.as_data(census, ())
    assert [process["alive"] for process in data["processes"]] == [True, True, False]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (59, "59.0 s"), (60, "1 min 0 s"), (7530, "2 h 5 min")],
)
def test_times(seconds: float, shown: str) -> None:
    assert holdings.duration(int(seconds * SECOND)) == shown
