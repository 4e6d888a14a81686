"""A worker's last words, which outlive it: the end of what it printed, and a fatal error's stack.

One memory file for a pool, in which each seat has a region::

    0      8192                                 256 KiB
    ├──────┼──────────────────────────────────────┤
    │ page │ stack                                │
    └──────┴──────────────────────────────────────┘

The page holds a length and so many bytes of text, whose end is the end of what the worker printed.
Text is added in memory that is mapped, first itself and then its length, which costs no call of the
system; once the page is full, it is written anew with the last half, in one call. So a death
leaves the old or the new text. The stack is what faulthandler writes, ended by a zero byte; 8 KiB
of it are read, the rest of the region is room for names of any length. The file is sparse: who says
nothing uses none of it.

Written by the worker (``Page``), read and cleared by the parent, when nobody sits there.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import re
import struct
from typing import Protocol

PAGE = 8192
STACK = 8192
_STRIDE = 1 << 18
_LENGTH = struct.Struct("<I")
_MOST = PAGE - _LENGTH.size
ROOM = PAGE // 2 - _LENGTH.size
"""Bytes of a worker's output that are kept."""

# A line of the user's, and our own that led to it.
_HERE = re.escape(os.path.dirname(__file__))
_CALLED = re.compile(
    rf'(^  File "(?!{_HERE}/)[^\n]*\n)  File "{_HERE}/.*', re.MULTILINE | re.DOTALL
)


class Travelling(Protocol):
    """A descriptor on its way into this process."""

    def detach(self) -> int:
        """Its number here."""


class Diary:
    """The memory file of a pool. To be closed by its owner; a worker's copy goes with the worker.

    Args:
        descriptor: of a file that exists already; None makes one. Raises OSError if there is no
            descriptor left.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._fd = os.memfd_create("procession-diary") if descriptor is None else descriptor

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Give the descriptor back; may be done again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def read(self, seat: int) -> tuple[str, str]:
        """The last lines that this seat's worker printed, and its stack; empty where there is none.

        Never raises: nothing is known after ``close()``.
        """
        content = self._region(seat)
        if not content:
            return "", ""
        (length,) = _LENGTH.unpack_from(content)
        output = content[_LENGTH.size : _LENGTH.size + min(length, _MOST)][-ROOM:]
        if length >= ROOM:
            output = output.partition(b"\n")[2] or output  # the first line is a part of one
        stack = content[PAGE:].partition(b"\0")[0]
        if len(stack) == STACK:
            stack = stack.rpartition(b"\n")[0]
        text = stack.decode("utf-8", "replace")
        return output.decode("utf-8", "replace"), _CALLED.sub(r"\1", text)

    def clear(self, seat: int) -> None:
        """Empty a seat's region, before the next worker gets it. Nothing happens once closed."""
        content = self._region(seat)
        if content.strip(b"\0"):
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, bytes(len(content)), seat * _STRIDE)

    def open(self, seat: int) -> Page:
        """In a worker: its page."""
        return Page(self._fd, seat * _STRIDE)

    def _region(self, seat: int) -> bytes:
        if self._fd < 0:
            return b""
        with contextlib.suppress(OSError):
            content = os.pread(self._fd, PAGE + STACK, seat * _STRIDE)
            # A region that nobody has written to yet may lie beyond the end of the file.
            return content.ljust(PAGE + STACK, b"\0") if content else b""
        return b""


class Page:
    """Where a worker writes. All of it may fail without a sound: the tasks go on."""

    _is_orphaned = False  # this process is a worker's child, and has its fault handler yet

    def __init__(self, fd: int, place: int) -> None:
        self._fd = fd
        self._place = place
        self._tail = bytearray()
        self._map: mmap.mmap | None = None
        self._written = 0
        self._stack = -1

    def note(self, text: str) -> None:
        """Keep the end of a printed text, be it a whole line or not."""
        if self._fd < 0:
            return
        tail, page = self._tail, self._map
        tail += text[-ROOM:].encode("utf-8", "backslashreplace")
        end = len(tail)
        if page is None or end > _MOST:
            self._write()
            return
        new = tail[self._written : end]
        start = end - len(new) + _LENGTH.size
        page[start : start + len(new)] = new
        page[: _LENGTH.size] = _LENGTH.pack(end)
        self._written = end

    def text(self) -> str:
        """What was noted last; it may begin inside a line."""
        return bytes(self._tail[-ROOM:]).decode("utf-8", "replace")

    def _write(self) -> None:
        """Write the page whole, and map it: no sooner, since it may lie beyond the file's end."""
        del self._tail[:-ROOM]
        text = bytes(self._tail)
        content = (_LENGTH.pack(len(text)) + text).ljust(PAGE, b"\0")
        page, self._map = self._map, None
        with contextlib.suppress(OSError, ValueError):
            if os.pwrite(self._fd, content, self._place) == PAGE:
                self._written = len(text)
                self._map = page or mmap.mmap(self._fd, PAGE, offset=self._place)

    def keep_stacks(self) -> None:
        """Have a fatal signal's Python stack written here, unless it is printed already.

        Whoever switches faulthandler on has asked for it on his standard error.
        """
        if faulthandler.is_enabled() and not Page._is_orphaned:
            return
        with contextlib.suppress(OSError):
            # Opened anew, for a position of its own: faulthandler writes where that is.
            stack = os.open(f"/proc/self/fd/{self._fd}", os.O_WRONLY | os.O_CLOEXEC)
            os.lseek(stack, self._place + PAGE, os.SEEK_SET)
            faulthandler.enable(stack, all_threads=False)
            self._stack = stack

    def leave(self) -> None:
        """In a forked child of the worker: its words are its own."""
        self._fd, self._map = -1, None
        if self._stack >= 0:
            # Not closed: faulthandler still has the number, which would be another file's.
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, self._stack, inheritable=False)
                os.close(null)
            self._stack = -1
            Page._is_orphaned = True


def attach(descriptor: Travelling) -> Diary:
    """The diary, for a worker that is no copy of its parent."""
    return Diary(descriptor.detach())
