"""What a failure means for a task.

Pure: facts in, instructions out; no clock, no threads, no I/O. What becomes of the workers
themselves stands in ``staffing``.

A task (an item of a map) that failed, ``after_failure``:

===========  ==============================================================================
it raised    run again while its ``retries`` last; else it fails
timed out    likewise; ``on_death`` has no say in this
it died      ``on_death`` "fail": it fails. "break": the pool breaks.
             "retry": run again while its ``retries`` last; with none at all, until it has
             killed ``QUARANTINE`` workers
===========  ==============================================================================
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol

QUARANTINE: Final = 3
"""A task that has killed so many workers is told to be dangerous."""


class PoolState(Enum):
    """The life of a pool. It only ever moves down this list."""

    RUNNING = "running"
    CLOSING = "closing"
    BROKEN = "broken"
    TERMINATING = "terminating"


class Held(Enum):
    """What a worker held when it ended."""

    NOTHING = "nothing"
    UNSTARTED = "unstarted"
    STARTED = "started"


class Failure(Enum):
    """How a task failed."""

    RAISED = "raised"
    DIED = "died"
    TIMED_OUT = "timed out"


class Verdict(Enum):
    """What becomes of a task that failed."""

    FAIL = "fail"
    RETRY = "retry"
    BREAK = "break the pool"


class History(NamedTuple):
    """What a task has been through, this time included.

    Attributes:
        runs: how often it was begun.
        deaths: how many workers died under it; those that we killed for it do not count.
    """

    runs: int
    deaths: int


class Ruling(NamedTuple):
    """The verdict, and whether the task counts as one that kills its workers."""

    verdict: Verdict
    quarantined: bool = False


class Bounds(Protocol):
    """What a task's options say about its failures; see ``Options``."""

    @property
    def retries(self) -> int:
        """How often it may be run again."""

    @property
    def on_death(self) -> Literal["fail", "retry", "break"] | None:
        """What a death means; None: "retry" if there are ``retries``, else "fail"."""


def after_failure(failure: Failure, history: History, options: Bounds) -> Ruling:
    """What becomes of a task that has just failed."""
    runs_left = history.runs <= options.retries
    if failure is not Failure.DIED:
        return Ruling(Verdict.RETRY if runs_left else Verdict.FAIL)
    on_death = options.on_death or ("retry" if options.retries else "fail")
    if on_death == "break":
        return Ruling(Verdict.BREAK)
    is_dangerous = history.deaths >= QUARANTINE
    if on_death == "retry" and (runs_left if options.retries else not is_dangerous):
        return Ruling(Verdict.RETRY)
    return Ruling(Verdict.FAIL, is_dangerous)


class Fate(Enum):
    """Why a worker ended."""

    DIED = "died"
    TIMED_OUT = "killed: its task took too long"
    CANCELLED = "killed: its task was cancelled"
    RETIRED = "left in order"


class Ended(NamedTuple):
    """A worker's end, as its task is told about it.

    Attributes:
        exitcode: negative for the signal that killed it; None if nobody knows.
        output: the last lines that it printed.
        stack: where it was when it crashed, as faulthandler says; or nothing.
        cause: the likely cause in words, where there is a guess.
        node: the machine it ran on, where an engine tells.
        runs_on: its task was given up, but could not be stopped.
        chunk: how many items it is about: nobody knows at which of them the worker was.
    """

    pid: int | None
    exitcode: int | None
    fate: Fate = Fate.DIED
    output: str = ""
    stack: str = ""
    cause: str | None = None
    node: str | None = None
    runs_on: bool = False
    chunk: int = 1
