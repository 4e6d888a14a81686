"""The pools that are kept between calls of joblib's: one for each number of workers and each way to
make them.

A pool that nobody has used for a while is ended, by a thread that sleeps until then. All of them
end in order with the program.
"""

from __future__ import annotations

import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from procession._engine.opening import WorkerWords
from procession._engine.options import Options
from procession._engine.policy import PoolState
from procession._threads import Thread
from procession.context import get_context
from procession.futures import Executor

if TYPE_CHECKING:
    from procession._engine.engine import Engine

IDLE = 300.0
"""Seconds after which a pool that is not used is ended, if nothing else was asked for."""

_OF_WORKERS = WorkerWords.__annotations__.keys() - {"threads", "idle_timeout"}
_OF_EXECUTORS = frozenset({"initializer", "initargs", "max_tasks_per_child"})
_OF_BATCHES = frozenset({"retries", "on_death"})
_OURS = frozenset({"start_method", "idle_worker_timeout"})
WORDS = _OF_WORKERS | _OF_EXECUTORS | _OF_BATCHES | _OURS

# Where several processes use TBB they are to agree about the CPUs.
_TBB = "ENABLE_IPC"


class Kept:
    """A pool that is kept.

    Attributes:
        options: those of each batch.
        users: how many calls use it now.
        unused_since: seconds, if there are none.
    """

    def __init__(self, workers: int, threads: int | None, words: dict[str, Any]) -> None:
        self.wish = workers, threads, words
        self.options = _options(words)
        self.users = 0
        self.unused_since = 0.0
        self.patience = _patience(words)
        for_executor = {name: words[name] for name in words.keys() & (_OF_WORKERS | _OF_EXECUTORS)}
        env = dict(for_executor.pop("env", None) or {})
        if _TBB not in os.environ:
            env.setdefault(_TBB, "1")
        self._executor = Executor(
            workers,
            _context(words),
            threads="auto" if threads is None else threads,
            env=env,
            **for_executor,
        )
        self.engine: Engine = self._executor._workforce.start()

    @property
    def is_good(self) -> bool:
        """Whether it takes work."""
        return self.engine.state is PoolState.RUNNING and self.engine.pid == os.getpid()

    def end(self) -> None:
        """Have its workers leave, and wait for that."""
        self._executor.shutdown()


def checked_words(words: dict[str, Any]) -> None:
    """Say at once what can not be.

    Raises:
        TypeError: there is no such keyword, or it has another type.
        ValueError: it can not have this value.
    """
    unknown = sorted(words.keys() - WORDS)
    if unknown:
        remedy = ""
        if "timeout" in unknown:
            remedy = " (a time limit for tasks is Parallel(timeout=...))"
        if {"threads", "idle_timeout"} & {*unknown}:
            remedy = " (it is inner_max_num_threads, or idle_worker_timeout, here)"
        raise TypeError(
            f"the joblib backend of procession has no {', '.join(unknown)}{remedy}; there are "
            f"{', '.join(sorted(WORDS))}"
        )
    _options(words)
    _patience(words)
    _context(words)


def _options(words: dict[str, Any]) -> Options:
    return Options().changed(**{name: words[name] for name in words.keys() & _OF_BATCHES})


def _context(words: dict[str, Any]) -> Any:
    # No fork: threads of BLAS and OpenMP that a parent has used do not work in its forks.
    return get_context(words.get("start_method") or "forkserver")


def _patience(words: dict[str, Any]) -> float:
    seconds = words.get("idle_worker_timeout")
    if seconds is None:
        return IDLE
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"idle_worker_timeout must be a number of seconds, not {seconds!r}")
    if not seconds > 0:
        raise ValueError(f"idle_worker_timeout must be a positive number, not {seconds!r}")
    return float(seconds)


class Pools:
    """All pools that are kept in this process."""

    def __init__(self) -> None:
        self._all: list[Kept] = []
        self._changed = threading.Condition()
        self._thread: Thread | None = None

    def lend(self, workers: int, threads: int | None, words: dict[str, Any]) -> Kept:
        """A pool for a call.

        Raises:
            TypeError, ValueError: as ``checked_words``, or about one of their values.
            OSError: the system has no room for so many processes.
        """
        checked_words(words)
        wish = workers, threads, words
        with self._changed:
            self._all = [kept for kept in self._all if kept.is_good]
            for kept in self._all:
                if kept.wish == wish:
                    kept.users += 1
                    return kept
            kept = Kept(*wish)
            kept.users = 1
            self._all.append(kept)
        return kept

    def take_back(self, kept: Kept) -> None:
        """A call is over."""
        with self._changed:
            kept.users -= 1
            kept.unused_since = monotonic()
            is_out = kept not in self._all and not kept.users
            if not is_out and self._thread is None:
                self._thread = Thread(
                    target=self._look_after, name="procession-joblib", daemon=True
                )
                self._thread.start()
        if is_out and kept.is_good:
            kept.end()

    def end(self) -> None:
        """End all that are not in use; the others when they are not any more. Waits for them."""
        with self._changed:
            idle = [kept for kept in self._all if not kept.users]
            self._all = []
            thread = self._thread
            self._changed.notify_all()
        for kept in idle:
            kept.end()
        if thread is not None:
            thread.join()

    def _look_after(self) -> None:
        """End what was not used for long; until there are none left."""
        while True:
            with self._changed:
                late = self._late()
                if late is None:
                    if not self._all:
                        self._thread = None
                        return
                    self._changed.wait(self._next())
                    continue
                self._all.remove(late)
            late.end()

    def _late(self) -> Kept | None:
        now = monotonic()
        for kept in self._all:
            if not kept.users and now - kept.unused_since >= kept.patience:
                return kept
        return None

    def _next(self) -> float:
        """Seconds until one may be late, at the earliest."""
        now = monotonic()
        return max(
            0.0,
            min(
                kept.patience - (0 if kept.users else now - kept.unused_since) for kept in self._all
            ),
        )
