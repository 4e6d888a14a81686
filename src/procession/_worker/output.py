"""What a worker prints: noted in its diary, and tagged where that was asked for.

Printed lines come whole by then (``_launch.streams``), and stay so: a text goes out in as many
pieces as it came in. What is written past ``sys.stdout`` and ``sys.stderr``, by a program that a
task starts or by C code, is neither noted nor tagged.
"""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

from procession._worker.diary import Page
from procession._worker.state import here

# A line, its end with it; or the beginning of one. Progress bars go back to the start of theirs.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+")


class _Tap:
    """Stands before a stream's write()."""

    def __init__(self, stream: Any) -> None:
        self._write = stream.write
        self._stream = stream
        self._at_start = True
        self.page: Page | None = None
        self.is_tagged = False

    def write(self, text: Any, /) -> Any:
        if not isinstance(text, str):
            return self._write(text)  # raises what it always did
        if self.page is not None:
            self.page.note(text)
        if text:
            (unfinished.discard if text[-1] == "\n" else unfinished.add)(self)
        if not self.is_tagged:
            return self._write(text)
        self._write(self._tagged(text))
        return len(text)

    def end_line(self) -> None:
        """Print an unfinished line. If it has a tag, end it: what comes next has another."""
        with contextlib.suppress(Exception):  # nobody is here to be told
            if self.is_tagged and not self._at_start:
                self._at_start = True
                if self.page is not None:
                    self.page.note("\n")
                self._write("\n")
            self._stream.flush()

    def _tagged(self, text: str) -> str:
        tag = here.tag()
        parts = []
        for line in _LINE.findall(text):
            if self._at_start and line != "\r":
                parts.append(tag)
            parts.append(line)
            self._at_start = line[-1] in "\r\n"
        return "".join(parts)


unfinished: set[_Tap] = set()
"""Those that have the beginning of a line."""


def end_lines() -> None:
    """A task ends: what it has begun to print is not kept back, as the worker may be killed before
    it has another one."""
    for tap in {*unfinished}:
        tap.end_line()
    unfinished.clear()


def watch(page: Page | None, *, tagged: bool) -> None:
    """From now on, note in `page` what this process prints, and tag each line if that is asked."""
    unfinished.clear()
    for stream in (sys.stdout, sys.stderr):
        # Not every object that stands for a stream lets its methods be replaced, or has them.
        with contextlib.suppress(AttributeError, TypeError):
            _watch(stream, page, tagged)


def _watch(stream: Any, page: Page | None, tagged: bool) -> None:
    # The worker of a worker has its parent's tap already.
    tap = getattr(vars(stream).get("write"), "__self__", None)
    if not isinstance(tap, _Tap):
        if page is None and not tagged:
            return
        tap = _Tap(stream)
        # On the object, not a new object in its place: others hold references to it.
        stream.write = tap.write
    tap.page, tap.is_tagged = page, tagged
