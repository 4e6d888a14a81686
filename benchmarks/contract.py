"""What a rival has to offer, what a case is, and what passes between the runner and a cell.

A *cell* is one rival doing one case once, in a process of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

Function = Callable[[int], int]


class NotOffered(Exception):
    """This rival has nothing that does this work."""


class Rival(ABC):
    """What every rival has. Each file in a suite's ``rivals`` defines a subclass of this name.

    It is used in the way its own documentation shows first.
    """

    title: ClassVar[str]
    """What a user would write, e.g. ``"loky.ProcessPoolExecutor"``."""

    distribution: ClassVar[str | None] = None
    """Where its version is looked up; None for what comes with Python."""

    workers: int = 1
    """How many it was opened with; the cell notes it here."""

    @classmethod
    @abstractmethod
    def open(cls, workers: int) -> Rival:
        """Start it with so many workers."""

    @abstractmethod
    def close(self) -> None:
        """End the workers."""


class PoolRival(Rival):
    """A pool with its workers, behind the few calls that the cases need.

    What a subclass leaves undefined it does not offer.
    """

    def round_trip(self, function: Function, argument: int) -> int:
        """One call: sent, run, and waited for."""
        raise NotOffered

    def submit_all(self, function: Function, arguments: Iterable[int]) -> list[int]:
        """One submission for each argument, then wait for each result."""
        raise NotOffered

    def map_all(self, function: Function, arguments: Sequence[int]) -> list[int]:
        """One map call with the rival's own choice of chunks."""
        raise NotOffered

    def imap_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        """Results one by one in order; each item travels alone."""
        raise NotOffered

    def imap_unordered_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        """Results one by one as they come; each item travels alone."""
        raise NotOffered


@dataclass(frozen=True)
class Unit:
    """What a figure is shown in; it is kept in seconds per item.

    Attributes:
        name: for the head of a column.
        factor: so many of them are a second.
        rate: whether it says how many a second, not how long one takes.
    """

    name: str
    factor: float = 1.0
    rate: bool = False

    def of(self, seconds: float) -> float:
        """The figure in this unit."""
        return self.factor / seconds if self.rate else self.factor * seconds


MICROSECONDS = Unit("µs per item", 1e6)
TIMES = Unit("×")
"""Of a figure that is a ratio."""


@dataclass(frozen=True)
class Case:
    """A kind of work.

    Attributes:
        title: for the report.
        n: how many items a full measurement has.
        run: does `n` items with a rival of its suite, checks the results, and returns the cell's
            figure in seconds per item.
        unit: what it is shown in.
        pilot: how many items are enough to begin with, to see how fast a rival is.
    """

    title: str
    n: int
    run: Callable[[Any, int], float]
    unit: Unit = MICROSECONDS
    pilot: int = 20


class Status(StrEnum):
    """How a cell ended."""

    MEASURED = "measured"
    NOT_OFFERED = "not offered"
    NOT_INSTALLED = "not installed"
    FAILED = "failed"
    HUNG = "hung"


@dataclass(frozen=True)
class Order:
    """What a cell is told.

    Attributes:
        suite: its name; see ``benchmarks.suite``.
        rival: name of a module among the suite's rivals, or the dotted name of one elsewhere.
        case: name of one of the suite's cases.
        workers: how many workers the rival gets.
        n: how many items the measurement should have.
        budget: seconds that the measurement may take; `n` is reduced to keep within it.
    """

    suite: str
    rival: str
    case: str
    workers: int
    n: int
    budget: float


@dataclass(frozen=True)
class Outcome:
    """What a cell answers.

    Attributes:
        status: how it ended.
        title: the rival's own name for itself.
        version: the rival's version.
        seconds: the figure, per item.
        n: how many items were measured.
        noise: seconds that a fixed loop took just before: the machine's mood.
        reason: why there is no figure.
    """

    status: Status
    title: str = ""
    version: str = ""
    seconds: float | None = None
    n: int = 0
    noise: float | None = None
    reason: str = ""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Outcome:
        """The reverse of ``dataclasses.asdict``."""
        return cls(**{**fields, "status": Status(fields["status"])})
