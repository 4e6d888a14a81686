"""The deadlock finder: what is one, what is none, and what only looks like one."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._observe import deadlocks
from procession._observe.census import Census, Hold, Process, Thing, Wait
from procession._observe.deadlocks import Deadlock

MAIN = 1  # number of a thread; each process has one of that number


def lock(serial: int, owner: int = 0) -> Thing:
    return Thing(serial, "Lock", owner)


def semaphore(serial: int, initial: int, value: int = 0, *, signals: bool = False) -> Thing:
    return Thing(serial, "Semaphore", 0, value, initial, 100, signals=signals)


def hold(thing: int, owner: int, *, thread: int = MAIN, count: int = 1, alive: bool = True) -> Hold:
    return Hold(thing, owner, 1000 + owner, thread, count, f"Process-{owner}", alive=alive)


def permits(thing: int, owner: int, count: int = 1) -> Hold:
    return hold(thing, owner, thread=0, count=count)


def wait(
    thing: int,
    owner: int,
    *,
    thread: int = MAIN,
    since: int = 5,
    timed: bool = False,
    notified: bool = False,
) -> Wait:
    return Wait(thing, owner, 1000 + owner, thread, since, timed, notified, name=f"Process-{owner}")


def census(things: Iterable[Thing], holds: Iterable[Hold], waits: Iterable[Wait]) -> Census:
    return Census(10, (), tuple(things), tuple(holds), tuple(waits))


def locks(owners: dict[int, int], waits: Iterable[Wait], *, thread: int = MAIN) -> Census:
    """Locks by their numbers, and who owns each."""
    return census(
        [lock(serial, owner) for serial, owner in owners.items()],
        [hold(serial, owner, thread=thread) for serial, owner in owners.items() if owner],
        waits,
    )


def circles(found: Iterable[Deadlock]) -> list[list[tuple[int, int]]]:
    """Of each deadlock: who waits for which thing."""
    return [[(step.wait.owner, step.wait.thing) for step in one.steps] for one in found]


def test_two_that_wait_for_each_other() -> None:
    seen = locks({1: 7, 2: 8}, [wait(1, 8), wait(2, 7)])
    (found,) = deadlocks.find(seen, {})
    assert circles([found]) == [[(7, 2), (8, 1)]]
    assert [step.hold.owner for step in found.steps] == [8, 7]
    assert found.certain


def test_a_long_circle_begins_with_the_lowest_pid() -> None:
    owners = {1: 9, 2: 5, 3: 7, 4: 6}
    seen = locks(owners, [wait(2, 9), wait(3, 5), wait(4, 7), wait(1, 6)])
    assert circles(deadlocks.find(seen, {})) == [[(5, 3), (7, 4), (6, 1), (9, 2)]]


def test_who_waits_for_itself() -> None:
    seen = locks({1: 7}, [wait(1, 7)])
    (found,) = deadlocks.find(seen, {})
    assert circles([found]) == [[(7, 1)]]
    assert found.certain


def test_another_thread_of_the_holder_is_no_deadlock() -> None:
    assert deadlocks.find(locks({1: 7}, [wait(1, 7, thread=2)]), {}) == []
    crossed = [wait(1, 8), wait(2, 7, thread=2)]
    assert deadlocks.find(locks({1: 7, 2: 8}, crossed), {}) == []


def test_threads_of_one_process() -> None:
    seen = census(
        [lock(1, 7), lock(2, 7)],
        [hold(1, 7, thread=1), hold(2, 7, thread=2)],
        [wait(2, 7, thread=1), wait(1, 7, thread=2)],
    )
    (found,) = deadlocks.find(seen, {})
    assert [step.wait.who for step in found.steps] == [(7, 1), (7, 2)]


@pytest.mark.parametrize("waits", [[], [wait(1, 8)], [wait(1, 8), wait(1, 9)], [wait(3, 7)]])
def test_who_waits_for_one_that_runs(waits: list[Wait]) -> None:
    assert deadlocks.find(locks({1: 7, 2: 8, 3: 0}, waits), {}) == []


def test_who_stands_behind_a_deadlock_is_not_in_it() -> None:
    seen = locks({1: 7, 2: 8, 3: 9}, [wait(1, 8), wait(2, 7), wait(1, 9), wait(3, 6)])
    assert circles(deadlocks.find(seen, {})) == [[(7, 2), (8, 1)]]


def test_two_deadlocks() -> None:
    owners = {1: 7, 2: 8, 3: 4, 4: 5}
    seen = locks(owners, [wait(1, 8), wait(2, 7), wait(3, 5), wait(4, 4)])
    assert sorted(circles(deadlocks.find(seen, {}))) == [[(4, 4), (5, 3)], [(7, 2), (8, 1)]]


def test_a_deadline_ends_it() -> None:
    assert deadlocks.find(locks({1: 7, 2: 8}, [wait(1, 8, timed=True), wait(2, 7)]), {}) == []


def test_who_was_notified_is_on_its_way() -> None:
    assert deadlocks.find(locks({1: 7, 2: 8}, [wait(1, 8, notified=True), wait(2, 7)]), {}) == []


def test_a_dead_holder_is_told_of() -> None:
    seen = census(
        [lock(1, 7), lock(2, 8)],
        [hold(1, 7, alive=False), hold(2, 8)],
        [wait(1, 8), wait(2, 7)],
    )
    assert deadlocks.find(seen, {}) == []


def test_a_lock_whose_holder_left_no_record() -> None:
    seen = Census(
        10,
        (Process(7, 0, 1007, "Process-7"), Process(8, 0, 1008, "Process-8")),
        (lock(1, 7), lock(2, 8)),
        (),
        (wait(1, 8), wait(2, 7)),
    )
    (found,) = deadlocks.find(seen, {7: 1, 8: 1})
    assert circles([found]) == [[(7, 2), (8, 1)]]
    assert found.steps[0].hold.name == "Process-8"


@pytest.mark.parametrize(
    ("threads", "certain"),
    [({7: 1, 8: 1}, True), ({7: 1, 8: 2}, False), ({7: 1}, False), ({}, False)],
)
def test_where_the_thread_is_not_known_others_may_end_it(
    threads: dict[int, int], certain: bool
) -> None:
    seen = locks({1: 7, 2: 8}, [wait(1, 8), wait(2, 7)], thread=0)
    (found,) = deadlocks.find(seen, threads)
    assert circles([found]) == [[(7, 2), (8, 1)]]
    assert found.certain is certain


def test_all_threads_of_a_process_have_to_wait() -> None:
    waits = [wait(1, 8), wait(2, 7), wait(2, 7, thread=2)]
    (found,) = deadlocks.find(locks({1: 7, 2: 8}, waits, thread=0), {7: 2, 8: 1})
    assert found.certain


def test_a_semaphore_is_given_back_by_any_of_its_holders() -> None:
    things = [semaphore(1, 2), lock(2, 8)]
    holds = [permits(1, 7), permits(1, 9), hold(2, 8)]
    one_runs = census(things, holds, [wait(1, 8), wait(2, 7)])
    assert deadlocks.find(one_runs, {7: 1, 8: 1, 9: 1}) == []
    all_wait = census(things, holds, [wait(1, 8), wait(2, 7), wait(2, 9)])
    (found,) = deadlocks.find(all_wait, {7: 1, 8: 1, 9: 1})
    assert circles([found]) == [[(7, 2), (8, 1)]]
    assert found.certain


@pytest.mark.parametrize(
    "thing",
    [
        semaphore(1, 2, signals=True),
        semaphore(1, 2, value=1),
        semaphore(1, 3),  # one permit is in nobody's hands that we know
        semaphore(1, 0),
        Thing(1, "Event"),
        Thing(1, "Queue"),
    ],
    ids=str,
)
def test_what_nobody_holds_may_come_from_anybody(thing: Thing) -> None:
    holds = [permits(1, 7, 2 if thing.value == 0 else 1), hold(2, 8)]
    seen = census([thing, lock(2, 8)], holds, [wait(1, 8), wait(2, 7)])
    assert deadlocks.find(seen, {7: 1, 8: 1}) == []


def test_a_holder_that_announces_but_does_not_own() -> None:
    """It is about to try: the lock's own word decides."""
    seen = census([lock(1, 7), lock(2, 8)], [hold(1, 7), hold(1, 9), hold(2, 8)], [wait(1, 9)])
    assert deadlocks.find(seen, {}) == []


# ---- two looks ----


def test_it_counts_if_nothing_moved_between_two_looks() -> None:
    seen = locks({1: 7, 2: 8}, [wait(1, 8), wait(2, 7)])
    first, second = deadlocks.find(seen, {}), deadlocks.find(seen, {})
    assert deadlocks.lasting(first, second) == second


@pytest.mark.parametrize(
    "later",
    [
        locks({1: 7, 2: 8}, [wait(1, 8, since=6), wait(2, 7)]),
        locks({1: 7, 2: 8, 3: 7}, [wait(3, 8), wait(2, 7)]),
        locks({1: 7, 2: 9}, [wait(1, 9), wait(2, 7)]),
        locks({1: 7, 2: 8}, [wait(2, 7)]),
        locks({1: 7, 2: 8}, []),
    ],
    ids=["waits anew", "waits for another one", "another holder", "one goes on", "both go on"],
)
def test_it_does_not_count_if_somebody_moved(later: Census) -> None:
    first = deadlocks.find(locks({1: 7, 2: 8}, [wait(1, 8), wait(2, 7)]), {})
    assert len(first) == 1
    assert deadlocks.lasting(first, deadlocks.find(later, {})) == []


# ---- any graph ----


def _circles_of_pairs(waits_for: dict[int, int]) -> set[frozenset[int]]:
    """By brute force: who comes back to itself."""
    found = set()
    for start in waits_for:
        path = [start]
        while (after := waits_for.get(path[-1])) is not None and after not in path:
            path.append(after)
        if after == start:
            found.add(frozenset(path))
    return found


@given(st.data())
def test_every_graph_of_locks(data: st.DataObject) -> None:
    """Each process owns the lock of its own number, and waits for at most one."""
    processes = range(1, data.draw(st.integers(1, 12)) + 1)
    waits_for = {
        process: data.draw(st.sampled_from(processes), label=f"{process} waits for")
        for process in processes
        if data.draw(st.booleans(), label=f"{process} waits")
    }
    waits = [wait(thing, process) for process, thing in waits_for.items()]
    random.Random(data.draw(st.integers(0, 99))).shuffle(waits)
    found = deadlocks.find(locks({process: process for process in processes}, waits), {})
    members = {frozenset(step.wait.owner for step in one.steps) for one in found}
    assert members == _circles_of_pairs(waits_for)
    assert len(found) == len(members)
    for one in found:
        assert one.certain
        for step, after in zip(one.steps, [*one.steps[1:], one.steps[0]], strict=True):
            assert step.hold.thing == step.wait.thing
            assert step.hold.owner == after.wait.owner
