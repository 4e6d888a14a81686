"""What came out of a comparison: numbers, a table, sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from procession._compare.verdict import Cost, Way, pays_from

_NOTEWORTHY = 0.1
"""A part of the whole from which on it is spoken of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayReport:
    """What one way took: serial, threads or processes. All times are seconds.

    Attributes:
        seconds_an_item: from item to item, with all workers at it.
        speedup: how many times as fast as serial, without the start.
        start: until the workers were there.
        compute, idle, gil, pickling, transport, rest: where the time of the workers goes, for
            each item: computing; waiting for something outside (a disk, a server, a sleep); ready
            to run and without the GIL; pickling and unpickling, at both ends; on the way; what is
            left, such as the uneven end of the last pieces.
        gil_share: for how much of its CPU time the function holds the GIL.
        failed: how many items raised.
        failure: why this way can not be used, if so.
    """

    seconds_an_item: float = 0.0
    speedup: float = 0.0
    start: float = 0.0
    compute: float = 0.0
    idle: float = 0.0
    gil: float = 0.0
    pickling: float = 0.0
    transport: float = 0.0
    rest: float = 0.0
    gil_share: float | None = None
    failed: int = 0
    failure: str | None = None

    @property
    def cost(self) -> Cost:
        """As it is judged."""
        return Cost(self.seconds_an_item, self.start, self.failure)


_PARTS = {
    "compute": "compute",
    "idle": "idle (waits for something outside)",
    "gil": "waits for the GIL",
    "pickling": "pickling",
    "transport": "transport",
    "rest": "rest",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What ``compare`` has measured. ``str()`` of it is a table, with what to use.

    Attributes:
        name: of the function.
        use: "serial", "threads" or "processes".
        speedup: how many times as fast as serial that is, for all the items, with its start.
        workers: how many threads, or processes.
        items: how many there are; None if that is not known.
        sampled: how many of them were measured.
        serial, threads, processes: what each way took.
        argument_bytes, result_bytes: of an item, pickled.
        disturbed: the part of the time for which other programs had the CPUs; it is counted out.
        error: what the first item raised that failed, if one did.
    """

    name: str
    use: Way
    speedup: float
    workers: int
    items: int | None
    sampled: int
    serial: WayReport
    threads: WayReport
    processes: WayReport
    argument_bytes: float
    result_bytes: float
    disturbed: float
    error: str | None

    @property
    def reasons(self) -> list[str]:
        """Sentences with the numbers that the advice stands on."""
        found = [self._about_serial(), self._about_threads(), *self._about_processes()]
        if self.error is not None:
            found.append(f"{self.serial.failed} of {self.sampled} items raised: {self.error}")
        if self.disturbed > _NOTEWORTHY:
            found.append(
                f"other programs had the CPUs for {self.disturbed:.0%} of the time; counted out"
            )
        return found

    def _about_serial(self) -> str:
        serial = self.serial
        share = _share(serial.idle, serial.compute + serial.idle)
        return (
            f"serial: {_time(serial.seconds_an_item)} an item, of which it computes {1 - share:.0%}"
            f" and waits {share:.0%}"
        )

    def _about_threads(self) -> str:
        threads, serial = self.threads, self.serial
        if threads.failure is not None:
            return f"threads: {threads.failure}"
        said = f"threads: {threads.speedup:.1f}x"
        busy = serial.compute + serial.idle
        if _share(serial.idle, busy) > 0.5:
            most = min(32, max(2, round(busy / max(serial.compute, busy / 32))))
            said += f": it mostly waits, which takes no GIL and no CPU; try up to {most} of them"
        elif threads.gil_share is not None and _share(serial.compute, busy) > _NOTEWORTHY:
            said += f": your function holds the GIL for {threads.gil_share:.0%} of its time"
        return said

    def _about_processes(self) -> list[str]:
        processes, serial = self.processes, self.serial
        if processes.failure is not None:
            return [f"processes: {processes.failure}"]
        said = f"processes: {processes.speedup:.1f}x"
        sending = processes.pickling + processes.transport
        whole = sending + processes.compute + processes.idle
        if _share(sending, whole) > _NOTEWORTHY:
            said += (
                f": {_share(processes.pickling, whole):.0%} of the time is pickling "
                f"({_size(self.argument_bytes)} there and {_size(self.result_bytes)} back), "
                f"{_share(processes.transport, whole):.0%} transport"
            )
        found = [said]
        if sending > serial.seconds_an_item:
            found.append(
                f"sending an item takes {_time(sending)}, longer than the item itself: have one "
                "call do many items, or send less"
            )
        else:
            least = pays_from(serial.cost, processes.cost)
            if least is not None and least > 1:
                found.append(
                    f"to start the processes took {_time(processes.start)}: they pay from "
                    f"{least} items on"
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON knows."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        for way in ("serial", "threads", "processes"):
            own[way] = asdict(own[way])
        return own | {"reasons": self.reasons}

    def __str__(self) -> str:
        use = f"use {self.use}"
        if self.use != "serial":
            use += f": {self.speedup:.1f}x as fast as serial, with {self.workers} workers"
        known = "" if self.items is None else f" of {self.items}"
        head = f"{self.name}, measured with {self.sampled}{known} items: {use}"
        return "\n".join([head, "", *self._table(), "", *(f"- {line}" for line in self.reasons)])

    def _table(self) -> list[str]:
        ways = [self.serial, self.threads, self.processes]
        rows = [
            ["", "serial", "threads", "processes"],
            ["an item", *(_time(way.seconds_an_item) for way in ways)],
            ["speed", *(f"{way.speedup:.2f}x" for way in ways)],
            ["start-up", *(_time(way.start) for way in ways)],
            ["time of the workers, for each item", "", "", ""],
            *(
                [f"  {words}", *(_time(getattr(way, part)) for way in ways)]
                for part, words in _PARTS.items()
            ),
        ]
        for at, way in enumerate(ways, 1):
            if way.failure is not None:
                for row in rows[1:]:
                    row[at] = "-" if row[at] else ""
        return [f"{row[0]:36}{row[1]:>11}{row[2]:>11}{row[3]:>11}".rstrip() for row in rows]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _time(seconds: float) -> str:
    if seconds == 0:
        return "0"
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}" if seconds < 1000 else f"{seconds:.0f} s"
    return f"{seconds * 1e9:.0f} ns"


def _size(count: float) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count:.0f} B"
