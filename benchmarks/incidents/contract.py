"""What passes between the command line and a cell, and what a figure is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contract import Status


class Overdue(Exception):
    """Something did not happen in a time in which anybody would have given up."""


@dataclass(frozen=True)
class Order:
    """What a cell is told.

    Attributes:
        subject: name in ``subjects.SUBJECTS``.
        method: how its workers are started.
        incident: name in ``acts.ACTS``.
        workers: how many it has.
        count: how many incidents of the kind there shall be.
        seconds: after which no further one is begun; for `idle`, how long it lasts.
    """

    subject: str
    method: str
    incident: str
    workers: int
    count: int
    seconds: float


@dataclass(frozen=True)
class Finding:
    """What a cell answers.

    Attributes:
        status: how it ended.
        version: the subject's.
        figures: by name, one number for each incident: seconds, or what the figure says.
        reason: why there are none, or fewer.
    """

    status: Status
    version: str = ""
    figures: Mapping[str, list[float]] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Finding:
        """The reverse of ``dataclasses.asdict``."""
        return cls(**{**fields, "status": Status(fields["status"])})


@dataclass(frozen=True)
class Figure:
    """A column of the report: what was found, times `factor`."""

    title: str
    unit: str
    factor: float = 1.0

    @property
    def head(self) -> str:
        """For the column."""
        return f"{self.title}, {self.unit}"


def _ms(title: str) -> Figure:
    return Figure(title, "ms", 1e3)


FIGURES: Mapping[str, Mapping[str, Figure]] = {
    "kill": {
        "reported": _ms("error reported after"),
        "ready": _ms("all workers there again after"),
    },
    "timeout": {
        "reported": _ms("reported after its deadline"),
        "ready": _ms("all workers there again after"),
    },
    "cancel": {
        "returned": _ms("cancel() returned after"),
        "gone": _ms("its process gone after"),
        "ready": _ms("all workers there again after"),
    },
    "idle": {
        "parent": Figure("CPU of the parent", "ms in 1,000 s", 1e3),
        "others": Figure("CPU of all others", "ms in 1,000 s", 1e3),
        "wakeups": Figure("wake-ups of all", "a second"),
    },
}
"""What is found for each incident, in the report's order."""

TITLES: Mapping[str, str] = {
    "kill": "a worker is killed by SIGKILL while it runs a task",
    "timeout": "a task runs longer than it may",
    "cancel": "a running task is cancelled",
    "idle": "nothing happens at all",
}


@dataclass(frozen=True)
class Limit:
    """The most that the median of one of our figures may be, in the figure's own column."""

    incident: str
    figure: str
    most: float


LIMITS = (
    Limit("kill", "reported", 10.0),
    Limit("kill", "ready", 10.0),
    Limit("timeout", "reported", 10.0),
    Limit("timeout", "ready", 10.0),
    Limit("cancel", "ready", 10.0),
    Limit("idle", "parent", 50.0),
)
"""What we hold ourselves to, with each start method."""
