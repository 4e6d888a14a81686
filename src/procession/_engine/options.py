"""What can be asked for each task and each call: one set of options for all doors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypedDict

from procession._engine.checking import check_flag
from procession._launch.surroundings import whole
from procession._observe.progress import check_progress

ERRORS = ("raise", "return", "skip", "group")
ON_DEATH = ("fail", "retry", "break")
CHANGED = ("error", "keep", "again")


class OptionWords(TypedDict, total=False):
    """The options as keywords; see ``Options``."""

    timeout: float | None
    grace: float | None
    retries: int
    on_death: Literal["fail", "retry", "break"] | None
    errors: Literal["raise", "return", "skip", "group"]
    max_in_flight: int | None
    max_bytes: int | None
    ordered: bool
    progress: Any
    journal: Any
    star: bool
    name: str | None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a pool, a view on one, or a call.

    Attributes:
        timeout: seconds that a task, or an item of a call, may run; None for ever. It is enforced
            from outside: the task's process is killed, with all processes it has started.
        grace: seconds between the ``TaskTimeout`` that is raised inside of the task and the kill;
            None kills at once.
        retries: how often a task, or an item, is run again after it raised, timed out or lost its
            worker.
        on_death: what the death of a worker does to the task it was at: "fail", "retry", or
            "break" (the whole pool is broken, as a ``ProcessPoolExecutor`` would be). None:
            "retry" where there are retries, else "fail".
        errors: what becomes of items that fail: "raise", "return" (the exception stands for the
            result), "skip", or "group" (all together in an ``ExceptionGroup`` at the end).
        max_in_flight: how many tasks, or items of a call, may be under way or not yet consumed.
        max_bytes: how many bytes of pickled arguments and results may be so.
        ordered: results in the order of the input, else as they come.
        progress: a bar, or who is told; see the how-to about progress.
        journal: a file where each finished item is recorded, so that the same call goes on behind
            a crash; a path, or a dict with "path" and "changed". See the how-to about it.
        star: each item is a tuple of arguments.
        name: what the call is named by in messages and at a bar.
    """

    timeout: float | None = None
    grace: float | None = None
    retries: int = 0
    on_death: Literal["fail", "retry", "break"] | None = None
    errors: Literal["raise", "return", "skip", "group"] = "raise"
    max_in_flight: int | None = None
    max_bytes: int | None = None
    ordered: bool = True
    progress: Any = False
    journal: Any = None
    star: bool = False
    name: str | None = None
    is_plain: bool = field(default=True, init=False, compare=False, repr=False)
    """Whether nothing has to be looked after while a task is under way."""

    is_run_once: bool = field(default=True, init=False, compare=False, repr=False)
    """Whether a task, or an item, is never begun a second time."""

    def __post_init__(self) -> None:
        _check_seconds("timeout", self.timeout)
        _check_seconds("grace", self.grace, zero=True)
        if self.grace is not None and self.timeout is None:
            raise ValueError("grace is the time after a timeout: give a timeout, too")
        if whole("retries", self.retries) < 0:
            raise ValueError(f"retries must be a number from 0 on, not {self.retries!r}")
        _check_choice("on_death", self.on_death, (None, *ON_DEATH))
        _check_choice("errors", self.errors, ERRORS)
        _check_limit("max_in_flight", self.max_in_flight)
        _check_limit("max_bytes", self.max_bytes)
        check_flag("ordered", self.ordered)
        check_flag("star", self.star)
        check_progress(self.progress)
        _check_journal(self.journal)
        if self.name is not None and not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {self.name!r}")
        plain = (
            self.timeout is None
            and self.retries == 0
            and self.on_death in (None, "fail")
            and self.max_in_flight is None
            and self.max_bytes is None
            and self.journal is None
        )
        object.__setattr__(self, "is_plain", plain)
        once = self.retries == 0 and self.on_death != "retry"
        object.__setattr__(self, "is_run_once", once)

    def changed(self, **changes: Any) -> Options:
        """The same with these changes.

        Raises:
            TypeError: there is no such option, or it has another type.
            ValueError: it can not have this value.
        """
        unknown = sorted(changes.keys() - set(NAMES))
        if unknown:
            raise TypeError(f"no such option: {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return replace(self, **changes) if changes else self

    def told(self) -> list[str]:
        """Those that are not as they are without being asked for, such as ``timeout=3``."""
        return [
            f"{name}={value!r}"
            for name in NAMES
            if (value := getattr(self, name)) != getattr(PLAIN, name)
        ]


NAMES = tuple(each.name for each in fields(Options) if each.init)


def _check_seconds(name: str, value: float | None, *, zero: bool = False) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not (0 < seconds < math.inf or (zero and seconds == 0)):
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        words = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {words}, not {value!r}")


def _check_limit(name: str, value: int | None) -> None:
    if value is not None and whole(name, value, "or None") < 1:
        raise ValueError(f"{name} must be at least 1 or None, not {value!r}")


def _check_journal(value: Any) -> None:
    path, changed = value, "error"
    if isinstance(value, Mapping):
        if not {"path"} <= value.keys() <= {"path", "changed"}:
            raise ValueError(f'a journal\'s words are "path" and "changed", not {dict(value)!r}')
        path, changed = value["path"], value.get("changed", "error")
    if value is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"journal must be a path, a dict with one or None, not {value!r}")
    _check_choice("changed of a journal", changed, CHANGED)


PLAIN = Options()
