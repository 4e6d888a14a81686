"""Who holds a thing in fact.

A hold is announced before the thing is taken and withdrawn behind its release, so its record alone
may say too much for a moment. The thing's own word decides.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from procession._observe.census import Census, Hold, Thing, Wait


def holders(census: Census) -> dict[int, tuple[Hold, ...]]:
    """Who holds what, by the things' serial numbers. Of locks and semaphores: nothing else is held.

    The permits of a semaphore that is used to send signals are nobody's.
    """
    records: defaultdict[int, list[Hold]] = defaultdict(list)
    for hold in census.holds:
        records[hold.thing].append(hold)
    held = {thing.serial: _of(thing, records[thing.serial], census) for thing in census.things}
    return {serial: found for serial, found in held.items() if found}


def _of(thing: Thing, records: list[Hold], census: Census) -> tuple[Hold, ...]:
    if thing.kind == "Lock" and thing.owner:
        return (_owner(thing, records, census),)
    if thing.kind == "Semaphore" and not thing.signals and thing.value < thing.initial:
        return tuple(hold for hold in records if hold.count)
    return ()


def _owner(thing: Thing, records: list[Hold], census: Census) -> Hold:
    """The record of a lock's owner; made up if there is none (any more)."""
    for hold in records:
        if hold.owner == thing.owner:
            return replace(hold, count=1)
    for process in census.processes:
        if process.token == thing.owner:
            name, alive = process.name, process.alive
            return Hold(thing.serial, thing.owner, process.pid, 0, 1, name, "", alive)
    return Hold(thing.serial, thing.owner, 0, 0, 1, alive=False)


def waiters(census: Census) -> dict[int, tuple[Wait, ...]]:
    """Who waits for what, by the things' serial numbers; who waits longest comes first."""
    waits: defaultdict[int, list[Wait]] = defaultdict(list)
    for wait in sorted(census.waits, key=lambda wait: wait.since):
        if wait.alive:
            waits[wait.thing].append(wait)
    return {serial: tuple(found) for serial, found in waits.items()}


def is_accounted_for(thing: Thing, held: tuple[Hold, ...]) -> bool:
    """Whether nothing is left of the thing, and all of it is in the hands of these holders.

    Else somebody unseen may give it back.
    """
    if thing.kind == "Semaphore":
        return thing.value == 0 and sum(hold.count for hold in held) >= thing.initial
    return bool(held)
