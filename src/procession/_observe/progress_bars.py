"""Where the progress of a call is shown.

Each bar is used by one thread at a time: it is made by the caller's, then shown and closed by that
of ``progress``. What we did not open we do not close.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from procession._observe.progress_line import (
    BLOCKS,
    PLAIN_BLOCKS,
    last_line,
    running_line,
    troubles,
)
from procession._observe.progress_meter import Snapshot

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between lines where lines stay, in a file: longer and longer."""

WIDTH = 80
"""Columns where the terminal does not say."""


class Bar(Protocol):
    """Shows snapshots, as they are given to it."""

    def show(self, shown: Snapshot) -> None:
        """Show how it stands now."""

    def close(self, shown: Snapshot, success: bool) -> None:
        """Show how it ended; once, the last call."""


class FunctionBar:
    """A function of the user's: called with what has changed."""

    def __init__(self, function: Callable[[Snapshot], object]) -> None:
        self._function = function
        self._told: tuple[int | None, ...] = ()

    def show(self, shown: Snapshot) -> None:
        counts = (shown.done, shown.total, shown.failed, shown.retried, shown.running)
        if counts != self._told:
            self._told = counts
            self._function(shown)

    def close(self, shown: Snapshot, success: bool) -> None:
        self._function(shown)


class TheirBar:
    """A bar that is there already: anything with ``update(n)``."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._done = 0

    def show(self, shown: Snapshot) -> None:
        if shown.done != self._done:
            self._bar.update(shown.done - self._done)
            self._done = shown.done

    def close(self, shown: Snapshot, success: bool) -> None:
        self.show(shown)


class TqdmBar:
    """A bar of tqdm's that we open and close: `kind` is one of its classes."""

    def __init__(self, kind: Any, total: int | None, options: Mapping[str, Any]) -> None:
        # It is updated in batches, ten times a second at most: drawn each time. Left to itself,
        # tqdm would learn from a large batch to draw no small ones.
        settings = {"miniters": 1, "mininterval": 0}
        self._bar = _alone(kind)(**{**settings, **options, "total": total})
        self._troubles = ""
        self._drawn_at = 0.0
        self._done = 0

    def show(self, shown: Snapshot) -> None:
        try:
            self._show(shown)
        except ValueError:
            if not is_open(getattr(self._bar, "fp", None)):
                return  # nobody is there to see it
            raise
        except OSError:
            return

    def _show(self, shown: Snapshot) -> None:
        bar, news = self._bar, shown.done - self._done
        if shown.total is not None and shown.total != bar.total:
            bar.total = shown.total
        if troubles(shown) != self._troubles:
            self._troubles = troubles(shown)
            bar.set_postfix_str(self._troubles, refresh=not news)
        if news:
            self._done = shown.done
            bar.update(news)
        elif shown.elapsed >= self._drawn_at + 1:
            bar.refresh()  # its clock goes on
        else:
            return
        self._drawn_at = shown.elapsed

    def close(self, shown: Snapshot, success: bool) -> None:
        self.show(shown)
        try:
            self._bar.close()
        except OSError:
            return


class RichBar:
    """A task in a ``rich.progress.Progress``; a class is made, started, and stopped again."""

    def __init__(self, progress: Any, total: int | None, label: str) -> None:
        self._is_ours = isinstance(progress, type)
        self._progress = progress() if self._is_ours else progress
        self._label = label.replace("[", r"\[")
        self._task = self._progress.add_task(self._label, total=total)
        if self._is_ours:
            self._progress.start()

    def show(self, shown: Snapshot) -> None:
        found = troubles(shown)
        self._progress.update(
            self._task,
            completed=shown.done,
            total=shown.total,
            description=f"{self._label} ({found})" if found else self._label,
        )

    def close(self, shown: Snapshot, success: bool) -> None:
        self.show(shown)
        if self._is_ours:
            self._progress.stop()


class LineBar:
    """A bar of our own: a line of a terminal, drawn over and over; elsewhere a line now and then.

    Args:
        stream: where it is drawn, a text stream.
        label: what it is about; may be empty.
    """

    def __init__(self, stream: Any, label: str) -> None:
        self._stream = stream
        self._label = " ".join(label.split())
        self._blocks = BLOCKS if _can_write(stream, "".join(BLOCKS)) else PLAIN_BLOCKS
        self._is_terminal = stream.isatty()
        self._drawn = ""
        self._pause = self._next = FIRST_PAUSE

    def show(self, shown: Snapshot) -> None:
        if self._is_terminal:
            self._draw(running_line(shown, self._label, self._width(), self._blocks))
        elif shown.elapsed >= self._next:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next = shown.elapsed + self._pause
            self._write(running_line(shown, self._label, WIDTH, self._blocks) + "\n")

    def close(self, shown: Snapshot, success: bool) -> None:
        if self._is_terminal:
            self._draw(last_line(shown, self._label, self._width(), success))
            self._write("\n")
        else:
            self._write(last_line(shown, self._label, WIDTH, success) + "\n")

    def _draw(self, text: str) -> None:
        if text != self._drawn:
            self._write(f"\r{text.ljust(len(self._drawn))}")
            self._drawn = text

    def _width(self) -> int:
        """One column less than there are: at the last one, some terminals begin a new line."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or WIDTH) - 1

    def _write(self, text: str) -> None:
        stream = self._stream
        try:
            if type(stream) is io.TextIOWrapper:
                # Past the stream: a process that is forked while another thread holds the stream's
                # lock could never write to it.
                os.write(stream.fileno(), text.encode(stream.encoding, "replace"))
            else:
                stream.write(text)
                stream.flush()
        except (OSError, ValueError):
            return  # it is closed, or has no room: nobody is there to see it


def is_open(stream: Any) -> bool:
    """Whether something can be written to a stream, as far as it knows."""
    return stream is not None and not getattr(stream, "closed", False)


def is_bar(spec: Any) -> bool:
    """Whether it has ``update``, as bars and their classes have. So has a dict."""
    return callable(getattr(spec, "update", None))


def is_rich(spec: Any) -> bool:
    """Whether it is a ``rich.progress.Progress``, or something of that kind, or its class."""
    return is_bar(spec) and callable(getattr(spec, "add_task", None))


def is_tqdm_class(kind: Any) -> bool:
    """Whether it is one of tqdm's classes."""
    return isinstance(kind, type) and is_bar(kind) and hasattr(kind, "monitor_interval")


def _alone(kind: Any) -> Any:
    """The same class of tqdm's, without what it shares with other processes and threads.

    Its lock lies between processes, too: a worker that is killed while it draws would leave it
    locked, and our bar waiting for ever. Its monitor is a thread that draws what is late: none is.
    """
    lock = threading.RLock()
    return type(kind.__name__, (kind,), {"_lock": lock, "monitor_interval": 0})


def _can_write(stream: Any, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
