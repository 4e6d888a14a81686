"""What tasks do, on whatever engine: functions that are importable by their names."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import procession

STEP = 0.005


class Signals:
    """A folder in which tests and tasks, wherever they run on this machine, tell each other things.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def set(self, name: str) -> None:
        """Something has happened."""
        Path(self.folder, name).touch()

    def is_set(self, name: str) -> bool:
        """Whether it has."""
        return Path(self.folder, name).exists()

    def wait(self, name: str) -> None:
        """Wait until it has, or until the test is over."""
        while not self.is_set(name) and not self.is_set("over"):
            if not Path(self.folder).exists():
                return
            time.sleep(STEP)

    def open_all(self) -> None:
        """Let all go on who wait."""
        self.set("over")

    def note(self, line: object) -> None:
        """Add a line to the log."""
        fd = os.open(Path(self.folder, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)

    def noted(self) -> list[str]:
        """The lines of the log."""
        log = Path(self.folder, "log")
        return log.read_text().splitlines() if log.exists() else []


class Fault(Exception):
    """What tasks raise."""

    def __init__(self, item: object, *, detail: str = "") -> None:
        super().__init__(item)
        self.item = item
        self.detail = detail


class Stubborn(Exception):
    """Can not be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Exits(BaseException):
    """No Exception."""


def double(x: Any) -> Any:
    """Twice as much."""
    return x * 2


def add(x: Any, y: Any = 100, *, z: Any = 0) -> Any:
    """All together."""
    return x + y + z


def fail(x: object) -> NoReturn:
    """Raise for any item."""
    raise Fault(x, detail="on purpose")


def fail_if_odd(x: int) -> int:
    """Raise for some items."""
    if x % 2:
        raise Fault(x)
    return x * 10


def fail_with_cause() -> NoReturn:
    """An error with a cause and a note."""
    try:
        raise KeyError("inner")
    except KeyError as error:
        outer = ValueError("outer")
        outer.add_note("a note")
        raise outer from error


def fail_in_group() -> NoReturn:
    """Several errors at once."""
    raise ExceptionGroup("both", [ValueError("one"), Fault(2)])


def fail_stubbornly() -> NoReturn:
    """Raise what can not be pickled."""
    raise Stubborn("no way")


def raise_it(kind: type[BaseException], *args: object) -> NoReturn:
    """Raise anything."""
    raise kind(*args)


def lock_of_threads() -> Any:
    """A result that can not be pickled."""
    return threading.Lock()


def wait_for(signals: Signals, began: str, end: str) -> str:
    """Say that it has begun, and run until it is told to end."""
    signals.set(began)
    signals.wait(end)
    return "done"


def wait_if_first(signals: Signals, item: int, end: str = "end") -> int:
    """Item 0 runs until it is told to end; the others return at once."""
    if item == 0:
        wait_for(signals, "began", end)
    return item


def note(signals: Signals, item: Any) -> Any:
    """Note that it was run."""
    signals.note(item)
    return item


def fail_until(signals: Signals, times: int, item: Any) -> Any:
    """Raise so many times, for each item, and then return."""
    signals.note(item)
    if signals.noted().count(str(item)) <= times:
        raise Fault(item)
    return item


def end_process(code: int) -> None:
    """The worker ends."""
    os._exit(code)


def end_until(signals: Signals, times: int, deadly: int, item: int) -> int:
    """One item ends its worker so many times, and then returns."""
    if item == deadly:
        signals.note(item)
        if signals.noted().count(str(item)) <= times:
            os._exit(3)
    return item


def where(_: object = None) -> int:
    """The process it runs in."""
    return os.getpid()


def standing(_: object = None) -> Any:
    """What the initializer returned here."""
    return procession.worker_state()


def begin(signals: Signals, value: Any) -> Any:
    """An initializer."""
    signals.note("begin")
    return {"value": value}


def begin_badly() -> NoReturn:
    """One that fails."""
    raise Fault("initializer")


def identity(x: Any) -> Any:
    """The argument."""
    return x


class Counter:
    """A callable with a state of its own."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, item: int) -> tuple[int, int]:
        self.count += 1
        return item, self.count

    def method(self, item: int) -> int:
        """A bound method, as a task."""
        return item + self.count
