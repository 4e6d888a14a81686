"""Who has how much of a family's shared memory: one look at its tables, added up.

What counts are pages: a block that somebody has counts with its whole capacity, since so much of
the budget is taken; one that is free counts as *warm* while it keeps its pages. A thing that lies
in an object's body (a lock, a small value) has no block and costs nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from procession import _core
from procession._observe import census
from procession._observe.census import Block, Census, Process, Thing

MOST_SHOWN = 10
"""How many of the largest blocks a snapshot has."""

KINDS = ("arguments", "results", "queues", "shared", "values", "channels")
"""What blocks are for, as far as the tables tell; see :class:`MemorySnapshot`."""


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What one process has, or has a share in.

    Attributes:
        pid: its process id.
        name: its name; may be empty.
        bytes: of pages.
        blocks: how many.
        alive: whether it lives; what a dead one had is about to be given back.
    """

    pid: int
    name: str
    bytes: int
    blocks: int
    alive: bool = True

    def __str__(self) -> str:
        who = f"{self.name or 'a process'} (pid {self.pid})"
        return who if self.alive else f"{who}, dead"


@dataclass(frozen=True, slots=True)
class KindMemory:
    """How much of it is for one purpose: `bytes` of pages, in so many `blocks`."""

    bytes: int = 0
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class LargeBlock:
    """One of the largest blocks.

    Attributes:
        bytes: of pages.
        kind: what it is for; see :class:`MemorySnapshot`.
        pids: the processes that have it or a share in it; none while it is on its way.
    """

    bytes: int
    kind: str
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """How the shared memory of a family of processes is used, at one moment.

    Attributes:
        budget: bytes of pages that there may be; 0: no bound.
        in_use: bytes of pages that somebody has.
        warm: bytes of pages that nobody has, kept for the next who needs some; they are given back
            to the system before anybody is refused.
        processes: who has how much, the most first. What several processes hold counts for each of
            them, so the sum may be more than `in_use`.
        kinds: what it is for: "arguments" (what was sent to a task or through a pipe), "results"
            (what came back from a task or out of a queue), "queues" (what lies in them), "shared"
            (by :func:`procession.share`, or since it was sent again and again), "values" (Value,
            Array ...), "channels" (a pool's rings, its functions, and pickles under way). Each
            stands there, if with nothing.
        largest: the largest blocks, the largest first; ten at most.
    """

    budget: int
    in_use: int
    warm: int
    processes: tuple[ProcessMemory, ...]
    kinds: Mapping[str, KindMemory]
    largest: tuple[LargeBlock, ...]

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def memory() -> MemorySnapshot:
    """How the shared memory of this process's family is used now: who has how much, and for what.

    Nothing is changed or held up by it. ``print(procession.memory())`` prints a table.

    Raises:
        RuntimeError: this process has closed the descriptor of its family's memory.
    """
    return look(_core.arena_descriptor())


def look(arena: int) -> MemorySnapshot:
    """A snapshot of the family whose memory is behind the descriptor `arena`.

    Raises:
        RuntimeError: it is no such memory, or that of another version.
    """
    return add_up(census.look(arena))


def add_up(seen: Census) -> MemorySnapshot:
    """What a look shows."""
    holders = _holders(seen)
    things = {thing.serial: thing for thing in seen.things}
    by_process: defaultdict[int, list[int]] = defaultdict(list)
    by_kind: defaultdict[str, list[int]] = defaultdict(list)
    largest: list[LargeBlock] = []
    processes = {process.token: process for process in seen.processes}
    for block in sorted(seen.blocks, key=lambda block: block.capacity, reverse=True):
        kind = _kind(block, things)
        tokens = holders.get(block.thing, ()) if block.thing else (block.owner,)
        known = [processes[token] for token in tokens if token in processes]
        by_kind[kind].append(block.capacity)
        for process in known:
            by_process[process.token].append(block.capacity)
        if len(largest) < MOST_SHOWN:
            pids = tuple(sorted(process.pid for process in known))
            largest.append(LargeBlock(block.capacity, kind, pids))
    return MemorySnapshot(
        seen.budget,
        seen.paged - seen.warm_free,
        seen.warm_free,
        _most_first(_has(processes[token], sizes) for token, sizes in by_process.items()),
        {kind: KindMemory(sum(by_kind[kind]), len(by_kind[kind])) for kind in KINDS},
        tuple(largest),
    )


def _holders(seen: Census) -> dict[int, tuple[int, ...]]:
    """The tokens of the processes that hold a thing, by its serial number."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for hold in seen.holds:
        found[hold.thing].append(hold.owner)
    return {serial: tuple(tokens) for serial, tokens in found.items()}


def _kind(block: Block, things: Mapping[int, Thing]) -> str:
    if not block.thing:
        return "results" if block.travels else "channels"
    thing = things.get(block.thing)
    if thing is None or thing.kind == "Queue":
        return "queues" if thing else "channels"
    return "shared" if thing.frozen else thing.purpose or "values"


def _has(process: Process, sizes: list[int]) -> ProcessMemory:
    return ProcessMemory(process.pid, process.name, sum(sizes), len(sizes), process.alive)


def _most_first(found: Iterable[ProcessMemory]) -> tuple[ProcessMemory, ...]:
    return tuple(sorted(found, key=lambda one: (-one.bytes, one.pid)))


def _lines(snapshot: MemorySnapshot) -> Iterator[str]:
    bound = f" of {size(snapshot.budget)}" if snapshot.budget else ""
    yield f"{size(snapshot.in_use)}{bound} in use, {size(snapshot.warm)} kept warm"
    kinds = [
        (kind, size(part.bytes), _blocks(part.blocks))
        for kind, part in snapshot.kinds.items()
        if part.blocks
    ]
    yield from _table("what for", kinds)
    processes = [(str(it), size(it.bytes), _blocks(it.blocks)) for it in snapshot.processes]
    yield from _table("who has it", processes)
    names = {process.pid: str(process) for process in snapshot.processes}
    largest = [(block.kind, size(block.bytes), _whose(block, names)) for block in snapshot.largest]
    yield from _table("the largest", largest)


def _table(title: str, rows: list[tuple[str, str, str]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield title
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, amount, remark in rows:
        yield f"  {name:{first}}  {amount:>{second}}  {remark}"


def _blocks(count: int) -> str:
    return f"{count} {'block' if count == 1 else 'blocks'}"


def _whose(block: LargeBlock, names: Mapping[int, str]) -> str:
    if not block.pids:
        return "on its way"
    first = names.get(block.pids[0], f"pid {block.pids[0]}")
    more = len(block.pids) - 1
    return f"{first} and {more} more" if more else first


def size(count: int) -> str:
    """Bytes for people: "4 KiB", "1.5 MiB", "256 MiB", "11.6 GiB"."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < 4:
        amount, unit = amount / 1024, unit + 1
    text = f"{amount:.0f}" if amount >= 100 or amount == int(amount) else f"{amount:.1f}"
    return f"{text} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"
