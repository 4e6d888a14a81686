"""What stands in a family's tables: plain records, of one look at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from procession import _core

# By their numbers in the core (layout.h).
_KINDS = ("", "Lock", "Semaphore", "Event", "Condition", "Barrier", "Queue", "Memory")

# What one waits for at a queue, by its number in the binding (bind_queue.h).
_PURPOSES = ("", "get", "put", "join")

# Flags of a thing's record (census.h).
_SIGNALS, _CLOSED, _BROKEN, _RECURSIVE, _FROZEN = 1, 2, 4, 8, 16

# What memory is for, by its number in the core (layout.h).
_PURPOSES_OF_MEMORY = ("values", "arguments", "results")

# A block that is on its way to its owner (layout.h); and whose owner's token names a thing.
_TRANSIT = 3
_THINGS_SLOT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the family. `token` names it for ever, unlike its `pid`."""

    token: int
    parent: int
    pid: int
    name: str
    alive: bool = True
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Thing:
    """What processes share: a lock, a queue ...

    Attributes:
        serial: names it for ever, in this family.
        kind: "Lock" (of an RLock, too), "Semaphore", "Event", "Condition", "Barrier", "Queue",
            "Memory"; or "" for one that this version does not know.
        owner: a lock's: token of the process that has it; 0: it is free.
        value: a semaphore's free permits, an event's 1 or 0, how many have come to a barrier, a
            queue's items, the bytes of memory.
        initial: a semaphore's first value.
        most: a barrier's parties, a queue's limit (0: none), a semaphore's maximum.
        signals: a semaphore: somebody gave permits that he did not have, so they are nobody's.
        closed: a queue: shut down.
        broken: a barrier: broken.
        recursive: a lock: an RLock.
        frozen: memory: nobody writes it any more.
        purpose: memory: "arguments", "results", "values"; empty if that is not known.
    """

    serial: int
    kind: str
    owner: int = 0
    value: int = 0
    initial: int = 0
    most: int = 0
    signals: bool = False
    closed: bool = False
    broken: bool = False
    recursive: bool = False
    frozen: bool = False
    purpose: str = ""

    def __str__(self) -> str:
        kind = "RLock" if self.recursive else self.kind or "object"
        return f"{kind} {self.serial}"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one process has of one thing.

    Attributes:
        thing: the thing's serial number.
        owner: the process's token.
        pid: its process id.
        thread: number of the thread that took it, as Python counts them; 0 if that is not known.
        count: how much is in hand: a lock, permits.
        name: the process's name; may be empty.
        place: where in the code it took last: "function (file:line)"; may be empty.
        alive: whether the process lives.
    """

    thing: int
    owner: int
    pid: int
    thread: int = 0
    count: int = 0
    name: str = ""
    place: str = ""
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Wait:
    """A thread that waits for a thing.

    Attributes:
        thing: the thing's serial number.
        owner: the process's token.
        pid: its process id.
        thread: the thread's number, as Python counts them.
        since: nanoseconds, on the clock of :attr:`Census.now`.
        timed: it gives up at a deadline.
        notified: it is on its way already.
        name: the process's name; may be empty.
        place: where in the code it waits: "function (file:line)"; may be empty.
        alive: whether the process lives.
        purpose: at a queue: "get", "put", "join"; else empty.
    """

    thing: int
    owner: int
    pid: int
    thread: int
    since: int
    timed: bool = False
    notified: bool = False
    name: str = ""
    place: str = ""
    alive: bool = True
    purpose: str = ""

    @property
    def who(self) -> tuple[int, int]:
        """Names the thread in the whole family."""
        return self.owner, self.thread


@dataclass(frozen=True, slots=True)
class Block:
    """A run of pages that somebody has.

    Attributes:
        owner: the token of the process that has it; 0: it belongs to a thing.
        thing: that thing's serial number, or 0.
        capacity: bytes of pages.
        travels: it is on its way to `owner`.
    """

    owner: int
    thing: int
    capacity: int
    travels: bool = False


@dataclass(frozen=True, slots=True)
class Census:
    """One look. `now` is its time, in nanoseconds of the monotonic clock.

    `budget`: bytes of pages that blocks may have, 0: no bound. `paged`: that they have.
    `warm_free`: of those, what nobody has.
    """

    now: int
    processes: tuple[Process, ...] = ()
    things: tuple[Thing, ...] = ()
    holds: tuple[Hold, ...] = ()
    waits: tuple[Wait, ...] = ()
    blocks: tuple[Block, ...] = ()
    budget: int = 0
    paged: int = 0
    warm_free: int = 0


def look(arena: int) -> Census:
    """Read the tables of the family whose memory is behind the descriptor `arena`.

    Raises RuntimeError if it is no such memory, or that of another version.
    """
    now, processes, objects, holds, spots = _core.census(arena)
    budget, paged, warm_free, blocks = _core.blocks(arena)
    things = tuple(sorted((_thing(*it) for it in objects), key=lambda thing: thing.serial))
    kinds = {thing.serial: thing.kind for thing in things}
    return Census(
        now,
        tuple(Process(*process) for process in processes),
        things,
        tuple(Hold(*hold) for hold in holds),
        tuple(_wait(kinds, *spot) for spot in spots),
        tuple(_blocks(blocks)),
        budget,
        paged,
        warm_free,
    )


def _thing(
    serial: int, kind: int, owner: int, value: int, initial: int, most: int, flags: int
) -> Thing:
    return Thing(
        serial,
        _KINDS[kind] if kind < len(_KINDS) else "",
        owner,
        value,
        initial,
        most,
        signals=bool(flags & _SIGNALS),
        closed=bool(flags & _CLOSED),
        broken=bool(flags & _BROKEN),
        recursive=bool(flags & _RECURSIVE),
        frozen=bool(flags & _FROZEN),
        purpose=_purpose(kind, initial),
    )


def _purpose(kind: int, number: int) -> str:
    is_known = kind == _KINDS.index("Memory") and number < len(_PURPOSES_OF_MEMORY)
    return _PURPOSES_OF_MEMORY[number] if is_known else ""


def _blocks(
    found: Iterable[tuple[int, int, int, int, bool, int, int]],
) -> Iterator[Block]:
    for _, capacity, _, state, _, owner, _ in found:
        if not owner:
            continue
        if owner & _THINGS_SLOT == _THINGS_SLOT:
            yield Block(0, owner >> 16, capacity)
        else:
            yield Block(owner, 0, capacity, travels=state == _TRANSIT)


def _wait(
    kinds: Mapping[int, str],
    thing: int,
    owner: int,
    pid: int,
    thread: int,
    since: int,
    op: int,
    timed: bool,
    notified: bool,
    name: str,
    place: str,
    alive: bool,
) -> Wait:
    is_named = kinds.get(thing) == "Queue" and op < len(_PURPOSES)
    purpose = _PURPOSES[op] if is_named else ""
    return Wait(thing, owner, pid, thread, since, timed, notified, name, place, alive, purpose)
