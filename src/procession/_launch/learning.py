"""What the zygote learns from its children: the modules that their tasks have imported.

A child tells the names of modules that it has and the zygote had not when it forked. The zygote
imports them when it has nothing else to do, so that later children find them there. First a copy
of it tries: a module is refused if its import fails, starts a thread, or leaves a descriptor open,
for none of these would come through a fork as a program expects it.

None of this is to be felt by the tasks that run meanwhile. The copy takes what CPU time others
leave (``SCHED_IDLE``). The zygote can not: its children would inherit that, and nobody without
privileges gets back from there. Where it has to share a CPU, it rests between modules.

Nothing is learnt when the program has said itself what to preload.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic, process_time
from typing import NoReturn

from procession._launch import lifeline
from procession._launch.fork import fork_process

IDLE = 0.05
"""Seconds without a request after which the zygote has nothing else to do."""

LONGEST_TRIAL = 30
"""Seconds of CPU time that the copy may take."""

LONGEST_WAIT = 600
"""Seconds that it may take for one module: an import that waits for something has no end."""

REST = 9
"""How many times as long as it has worked the zygote rests on a busy machine."""

_SHARED = 1.25  # somebody else had the CPU, too, if it took so much longer than the CPU worked
_LONG = 0.02  # seconds of work: in less, the scheduler may not have had its turn

_ATOMIC = 4096  # what a pipe takes whole: PIPE_BUF
_FOREIGN = ("__main__", "__mp_main__", "procession._stdlib", "procession._cli")

_line = -1
_told = 0  # so many modules the zygote had, or knows of


def begin(line: int) -> None:
    """In a fresh child: from here on count what is imported; `line` leads to the zygote."""
    global _line, _told
    _line = line
    _told = len(sys.modules)


def tell() -> None:
    """In a child: tell the zygote of the modules imported since. Never blocks, never raises."""
    global _told
    # From the end: to look at the others would have this process copy the pages they lie in.
    new = list(itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - _told)))
    _told = len(sys.modules)
    if _line >= 0:
        for message in _messages(filter(_is_plain, reversed(new))):
            with contextlib.suppress(OSError):  # the zygote has gone, or is not up to it
                os.write(_line, message)


def _is_plain(name: str) -> bool:
    """Whether an import statement of that name, anywhere, gets that module."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "name", None) == name and not name.startswith(_FOREIGN)


def _messages(names: Iterable[str]) -> Iterator[bytes]:
    message = b""
    for name in names:
        line = name.encode() + b"\n"
        if len(message) + len(line) > _ATOMIC:
            yield message
            message = b""
        message += line
    if message:
        yield message


class Learner:
    """The zygote's side.

    Args:
        willing: whether to learn at all.
        let_go: closes, in a copy, what leads to other processes: those at the other ends are to
            see it if the zygote ends.

    Attributes:
        ear: readable when children have told something.
        line: the other end, for the children.
        trial: readable when the copy is done; -1 while there is none.
    """

    def __init__(self, *, willing: bool, let_go: Callable[[], object]) -> None:
        self.ear, self.line = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.trial = -1
        self._willing = willing
        self._let_go = let_go
        self._heard: dict[str, None] = {}
        self._refused: set[str] = set()
        self._on_trial: list[str] = []
        self._proven: deque[str] = deque()
        self._rest = 0.0
        self._worked = self._taken = 0.0  # seconds of CPU, and of anybody's, since the last rest

    @property
    def pause(self) -> float | None:
        """After so many seconds without a request step() has something to do; None: nothing."""
        if self._proven:
            # It was idle a moment ago; who asks now waits for one module at most.
            return self._rest
        return IDLE if self._heard and self.trial < 0 else None

    def descriptors(self) -> list[int]:
        """All that it holds."""
        return [fd for fd in (self.ear, self.line, self.trial) if fd >= 0]

    def hear(self) -> None:
        """Note what the children have told."""
        with contextlib.suppress(BlockingIOError):
            for name in os.read(self.ear, 1 << 16).decode().splitlines():
                if self._willing and name not in sys.modules and name not in self._refused:
                    self._heard[name] = None

    def step(self) -> bool:
        """Do one thing: import a module that was tried, or have others tried.

        Returns whether this was the last of those to be imported.
        """
        if self._proven:
            self._import(self._proven.popleft())
            if not self._proven:
                gc.collect()
                gc.freeze()
                return True
        elif self._heard and self.trial < 0:
            self._try()
        return False

    def _import(self, name: str) -> None:
        began, before = monotonic(), process_time()
        with contextlib.suppress(BaseException):  # it went well in the copy
            __import__(name)
        self._worked += process_time() - before
        self._taken += monotonic() - began
        self._rest = 0.0
        if self._worked > _LONG:
            if self._taken > self._worked * _SHARED:
                self._rest = self._worked * REST
            self._worked = self._taken = 0.0

    def _try(self) -> None:
        try:
            lifeline.hold()
            read, write = os.pipe2(os.O_CLOEXEC)
        except OSError:  # there is no room: what was heard is forgotten
            self._heard.clear()
            return
        try:
            pid = fork_process()
            if pid == 0:
                self._be_copy(write)
        except OSError:
            os.close(read)
            self._heard.clear()
            return
        finally:
            os.close(write)
        self.trial = read
        self._on_trial = list(self._heard)
        self._heard.clear()

    def _be_copy(self, write: int) -> NoReturn:
        """Try each, up to the first that fails; say which went well."""
        try:
            lifeline.arm()
            with contextlib.suppress(OSError):  # not everywhere
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            for limit in (signal.SIGPROF, signal.SIGALRM):
                signal.signal(limit, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF, signal.SIGALRM])
            signal.setitimer(signal.ITIMER_PROF, LONGEST_TRIAL)
            self._let_go()
            for fd in self.descriptors():
                os.close(fd)
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            for name in self._heard:
                signal.alarm(LONGEST_WAIT)
                before = _descriptors()
                with contextlib.suppress(Exception):
                    __import__(name)
                    if threading.active_count() == 1 and _descriptors() == before:
                        os.write(write, name.encode() + b"\n")
                        continue
                # What it has begun would be blamed on the next.
                break
        finally:
            os._exit(0)

    def conclude(self) -> None:
        """The copy is done: what went well can be imported, and what it did not come to tried."""
        with open(self.trial) as file:
            proven = file.read().split()
        self.trial = -1
        self._proven.extend(proven)
        left = self._on_trial[len(proven) :]
        self._refused.update(left[:1])
        self._heard.update(dict.fromkeys(left[1:]))


def _descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))
