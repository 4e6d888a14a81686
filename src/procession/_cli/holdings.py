"""What ``procession locks`` prints, as text for people or as data for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from procession._observe import standing
from procession._observe.census import Census, Hold, Thing, Wait
from procession._observe.deadlocks import Deadlock, Step

Share = Hold | Wait


@dataclass(frozen=True, slots=True)
class _Row:
    """One line about a thing."""

    role: str
    who: str
    where: str
    remark: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """What stands in columns."""
        return self.role, self.who, self.where


def as_text(census: Census, deadlocks: Sequence[Deadlock], *, everything: bool = False) -> str:
    """A table: each thing that is held or waited for (`everything`: each there is), and by whom.

    The deadlocks stand behind it.
    """
    held, awaited = standing.holders(census), standing.waiters(census)
    words = _Words(census)
    parts = []
    table = {
        thing: [
            *(words.holder(thing, hold) for hold in held.get(thing.serial, ())),
            *(words.waiter(wait) for wait in awaited.get(thing.serial, ())),
        ]
        for thing in census.things
    }
    rows = [row for found in table.values() for row in found]
    widths = [max(map(len, column)) for column in zip(*(row.cells for row in rows), strict=True)]
    for thing, found in table.items():
        if found or everything:
            lines = [_heading(thing), *(_line(row, widths) for row in found)]
            parts.append("\n".join(lines))
    if not parts:
        parts.append("nothing is held, and nobody waits")
    parts.extend(words.deadlock(deadlock) for deadlock in deadlocks)
    return "\n\n".join([_family(census), *parts])


def as_data(census: Census, deadlocks: Sequence[Deadlock]) -> dict[str, Any]:
    """The same for json; with everything in it."""
    held, awaited = standing.holders(census), standing.waiters(census)
    return {
        "processes": [
            {"pid": process.pid, "name": process.name, "alive": process.alive}
            for process in census.processes
        ],
        "objects": [
            {
                "kind": "RLock" if thing.recursive else thing.kind,
                "serial": thing.serial,
                "state": _state(thing),
                "holders": [_holder_data(hold) for hold in held.get(thing.serial, ())],
                "waiters": [_waiter_data(wait, census) for wait in awaited.get(thing.serial, ())],
            }
            for thing in census.things
        ],
        "deadlocks": [
            {
                "certain": deadlock.certain,
                "steps": [
                    {
                        "object": step.wait.thing,
                        "waiter": _waiter_data(step.wait, census),
                        "holder": _holder_data(step.hold),
                    }
                    for step in deadlock.steps
                ],
            }
            for deadlock in deadlocks
        ],
    }


def _who_data(share: Share) -> dict[str, Any]:
    return {
        "pid": share.pid,
        "name": share.name,
        "thread": share.thread or None,
        "place": share.place,
    }


def _holder_data(hold: Hold) -> dict[str, Any]:
    return {**_who_data(hold), "count": hold.count, "alive": hold.alive}


def _waiter_data(wait: Wait, census: Census) -> dict[str, Any]:
    seconds = max(0, census.now - wait.since) / 1e9
    return {**_who_data(wait), "to": wait.purpose, "seconds": seconds, "timeout": wait.timed}


def _family(census: Census) -> str:
    living = [process for process in census.processes if process.alive]
    head = f"{len(living)} {'process' if len(living) == 1 else 'processes'}"
    # Plain bytes (values, what is on its way) are nothing that anybody could wait for.
    shared = sum(thing.kind != "Memory" for thing in census.things)
    return f"{head}, {shared} shared {'object' if shared == 1 else 'objects'}"


def _heading(thing: Thing) -> str:
    state = "" if thing.owner else _state(thing)  # who has it stands below
    return f"{thing}: {state}" if state else f"{thing}"


def _state(thing: Thing) -> str:
    match thing.kind:
        case "Lock":
            return "held" if thing.owner else "free"
        case "Semaphore" if thing.signals or thing.value > thing.initial:
            return f"{thing.value} free"
        case "Semaphore":
            return f"{thing.value} of {thing.initial} free"
        case "Event":
            return "set" if thing.value else "not set"
        case "Barrier" if thing.broken:
            return "broken"
        case "Barrier":
            return f"{thing.value} of {thing.most} have come"
        case "Queue":
            items = f"{thing.value} {'item' if thing.value == 1 else 'items'}"
            limit = f" of at most {thing.most}" if thing.most else ""
            return f"{items}{limit}{', shut down' if thing.closed else ''}"
        case "Memory":
            return f"{thing.value} bytes"
        case _:
            return ""


def _line(row: _Row, widths: Sequence[int]) -> str:
    columns = zip(row.cells, widths, strict=True)
    cells = [cell.ljust(width) for cell, width in columns if width]
    return f"  {'  '.join([*cells, row.remark])}".rstrip()


class _Words:
    """Says who it is; naming the thread where several of a process are talked about."""

    def __init__(self, census: Census) -> None:
        self._now = census.now
        self._things = {thing.serial: thing for thing in census.things}
        self._threads: defaultdict[int, set[int]] = defaultdict(set)
        for share in _shares(census):
            self._threads[share.owner].add(share.thread)

    def holder(self, thing: Thing, hold: Hold) -> _Row:
        several = thing.kind == "Semaphore" and hold.count > 1
        remarks = [f"{hold.count} permits"] if several else []
        if not hold.alive:
            remarks.append("died with it")
        return _Row("held by", self._who(hold), _where(hold), ", ".join(remarks))

    def waiter(self, wait: Wait) -> _Row:
        remark = f"for {duration(self._now - wait.since)}"
        if wait.purpose:
            remark = f"to {wait.purpose}, {remark}"
        if wait.timed:
            remark += ", with a timeout"
        if wait.notified:
            remark += ", notified"
        return _Row("awaited by", self._who(wait), _where(wait), remark)

    def deadlock(self, deadlock: Deadlock) -> str:
        head = "deadlock: " if deadlock.certain else "perhaps a deadlock: "
        lines = [self._step(step) for step in deadlock.steps]
        text = head + f"\n{' ' * len(head)}".join(lines)
        if deadlock.certain:
            return text
        return f"{text}\n(unless another thread of one of them gives back what it holds)"

    def _step(self, step: Step) -> str:
        thing = self._things.get(step.wait.thing, f"object {step.wait.thing}")
        same = step.hold.owner == step.wait.owner and step.hold.thread in (0, step.wait.thread)
        holder = "it holds itself" if same else f"{self._who(step.hold)} holds"
        return f"{self._who(step.wait)} waits for {thing}, which {holder}"

    def _who(self, share: Share) -> str:
        name = share.name or "a process"
        if share.thread and len(self._threads[share.owner]) > 1:
            return f"{name} (pid {share.pid}, thread {share.thread})"
        return f"{name} (pid {share.pid})" if share.pid else f"{name} that is gone"


def _shares(census: Census) -> Iterator[Share]:
    for found in standing.holders(census).values():
        yield from (hold for hold in found if hold.thread)
    yield from census.waits


def _where(share: Share) -> str:
    return f"in {share.place}" if share.place else ""


def duration(nanoseconds: int) -> str:
    """A time for people: "0.4 s", "3 min 20 s", "2 h 5 min"."""
    seconds = max(0, nanoseconds) / 1e9
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
