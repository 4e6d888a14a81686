"""Standard input, output and error around a fork.

Three things go wrong with the plain inherited streams, and are put right in each child:

- Standard input is the terminal, which only one process can usefully read: a child's sys.stdin is
  empty. (It is replaced, not closed: another thread of the parent may have been reading at the
  moment of the fork; its lock was copied, and closing would wait for it for ever.)
- For the same reason an output stream may be locked for ever: such a one is replaced.
- Print calls arrive in pieces: Python's buffer is cut wherever it is full, and under ``python -u``
  text and newline are written one by one, so lines of two processes run into each other. In a
  child, each printed text of up to a page (4,096 bytes, what a pipe takes whole) goes out with its
  newline in one write. What is printed without a newline waits for one, or for a flush.
"""

from __future__ import annotations

import _thread
import contextlib
import io
import logging
import os
import sys
from typing import TextIO

_PROBE_TIME = 0.25
"""Seconds after which a flush that found no end is taken to wait for a lock nobody holds."""

_null = -1
_kept: list[object] = []  # replaced streams: if collected, they would close the descriptor


def flush_output() -> None:
    """Flush standard output and error, so that a fork does not copy what is still to be written.

    Raises OSError if what was written cannot be (a closed pipe, a full disk).
    """
    for stream in (sys.stdout, sys.stderr):
        # None, something without flush(), or already closed: nothing to write then.
        with contextlib.suppress(AttributeError, ValueError):
            stream.flush()


def occupy() -> None:
    """Put the null device where a standard stream is closed.

    Else what is opened next gets its number, and is written to by whoever prints, in this process
    or in a child. Python's own objects stay as they are: None. Raises OSError if there are no
    descriptors left.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)  # gets the lowest number that is free


def enter_child(*, parent_had_threads: bool) -> None:
    """Put the standard streams of a freshly forked child in order."""
    _empty_stdin()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # Exactly this type: what others derive or put in its place has its own rules.
        if type(stream) is not io.TextIOWrapper or not _has_descriptor(stream):
            continue
        if parent_had_threads:
            if _is_locked(stream):
                stream = _replace(name, stream)
            else:
                _forget_text(stream)
        _print_whole(stream)


def _forget_text(stream: io.TextIOWrapper) -> None:
    """Drop what the stream holds: another thread of the parent's has printed it since the flush
    before the fork, and the parent will write it."""
    fd = stream.fileno()
    kept = os.dup(fd)
    try:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(null, fd)
            stream.flush()
        finally:
            os.dup2(kept, fd)
            os.close(null)
    finally:
        os.close(kept)


def report(text: str) -> None:
    """Write to standard error in one piece; nothing happens if there is none."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _empty_stdin() -> None:
    if sys.stdin is None:
        return
    # Descriptor 0 stays what it was, as under the stdlib: a child that wants to read from the
    # terminal all the same (a debugger) can open it.
    _kept.append(sys.stdin)
    with contextlib.suppress(OSError):
        sys.stdin = open(_null_device(), encoding="utf-8", closefd=False)  # noqa: SIM115


def _null_device() -> int:
    """A descriptor of the null device: one for a process and all its descendants."""
    global _null
    with contextlib.suppress(OSError):
        if os.fstat(_null).st_rdev == os.stat(os.devnull).st_rdev:
            return _null
    _null = os.open(os.devnull, os.O_RDONLY)
    return _null


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() >= 0
    except (AttributeError, ValueError, OSError):
        return False


def _print_whole(stream: io.TextIOWrapper) -> None:
    """Flush after each write that ends a line, and at no other place inside a line.

    print() writes its arguments and the newline one by one. Python's own line buffering would also
    flush in the middle of a text of several lines, and so part its last line from its newline.
    """
    if "write" in vars(stream):
        return
    stream.reconfigure(line_buffering=False, write_through=False)
    write, flush = stream.write, stream.flush

    def write_whole(text: str, /) -> int:
        count = write(text)
        # A carriage return is how progress bars draw: Python flushes at those as well.
        if text.endswith("\n") or "\r" in text:
            flush()
        return count

    # On the object, not a new object in its place: others hold references to it.
    vars(stream)["write"] = write_whole


def _is_locked(stream: io.TextIOWrapper) -> bool:
    """Whether a thread that the fork left behind holds the stream's lock."""
    if not isinstance(stream.buffer, io.BufferedWriter):
        return False
    finished = _thread.allocate_lock()
    finished.acquire()

    def probe() -> None:
        try:
            stream.buffer.flush()
        except RuntimeError:
            # "Reentrant call": this thread has got the identity of the one that holds the lock.
            return
        except (OSError, ValueError):
            pass
        finished.release()

    _thread.start_new_thread(probe, ())
    return not finished.acquire(timeout=_PROBE_TIME)


def _replace(name: str, locked: io.TextIOWrapper) -> io.TextIOWrapper:
    fresh = open(  # noqa: SIM115
        locked.fileno(), "w", encoding=locked.encoding, errors=locked.errors, closefd=False
    )
    _kept.append(locked)
    for place in (name, f"__{name}__"):
        if getattr(sys, place) is locked:
            setattr(sys, place, fresh)
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if isinstance(handler, logging.StreamHandler) and handler.stream is locked:
            handler.stream = fresh
    return fresh
