"""Who holds a thing in fact, whatever its holders' records say."""

from __future__ import annotations

from procession._observe import standing
from procession._observe.census import Census, Hold, Process, Thing, Wait


def held(thing: Thing, *holds: Hold, processes: tuple[Process, ...] = ()) -> list[Hold]:
    census = Census(10, processes, (thing,), holds)
    return [*standing.holders(census).get(thing.serial, ())]


def test_a_lock_is_held_by_whom_its_word_names() -> None:
    owner, other = Hold(1, 7, 107, 3, 1, "Process-7"), Hold(1, 8, 108, 4, 1, "Process-8")
    assert held(Thing(1, "Lock", 7), other, owner) == [owner]
    assert held(Thing(1, "Lock", 0), other, owner) == []


def test_a_lock_is_held_once_whatever_its_record_counts() -> None:
    assert [hold.count for hold in held(Thing(1, "Lock", 7), Hold(1, 7, 107))] == [1]


def test_an_owner_without_a_record_is_looked_up_among_the_processes() -> None:
    (hold,) = held(Thing(1, "Lock", 7), processes=(Process(7, 0, 107, "Process-7"),))
    assert (hold.pid, hold.name, hold.alive, hold.place) == (107, "Process-7", True, "")


def test_an_owner_of_whom_nothing_is_left_is_dead() -> None:
    (hold,) = held(Thing(1, "Lock", 7), processes=(Process(8, 0, 108, "Process-8"),))
    assert (hold.owner, hold.pid, hold.name, hold.alive) == (7, 0, "", False)


def test_permits_are_held_by_who_has_some() -> None:
    some, none = Hold(1, 7, 107, count=2), Hold(1, 8, 108)
    assert held(Thing(1, "Semaphore", value=1, initial=3), some, none) == [some]


def test_permits_that_are_all_there_are_held_by_nobody() -> None:
    trying = Hold(1, 7, 107, count=1)
    assert held(Thing(1, "Semaphore", value=3, initial=3), trying) == []


def test_permits_of_a_signal_are_nobodys() -> None:
    taken = Hold(1, 7, 107, count=1)
    assert held(Thing(1, "Semaphore", value=0, initial=1, signals=True), taken) == []


def test_nothing_else_is_held() -> None:
    for kind in ("Event", "Condition", "Barrier", "Queue", "Memory", ""):
        assert held(Thing(1, kind), Hold(1, 7, 107, count=1)) == []


def test_holds_of_one_thing_are_not_anothers() -> None:
    assert held(Thing(1, "Semaphore", initial=1), Hold(2, 7, 107, count=1)) == []


def test_waiters_stand_in_the_order_of_their_coming() -> None:
    late, early = Wait(1, 7, 107, 1, since=9), Wait(1, 8, 108, 1, since=3)
    dead, elsewhere = Wait(1, 9, 109, 1, since=1, alive=False), Wait(2, 7, 107, 2, since=2)
    census = Census(10, waits=(late, dead, early, elsewhere))
    assert standing.waiters(census) == {1: (early, late), 2: (elsewhere,)}
