"""A thread that kills a worker of a pool, chosen at random, again and again."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from types import TracebackType
from typing import Self

from procession.pool import Pool


class Killer:
    """Kills while the with-block runs; ``killed`` counts.

    Args:
        pause: seconds between two kills.
    """

    def __init__(self, pool: Pool, seed: int, pause: float = 0.02) -> None:
        self.killed = 0
        self._crew = pool._engine.supervisor._crew
        self._random = random.Random(seed)
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            workers = list(self._crew)
            if workers:
                # Its death may have been seen to a moment ago.
                with contextlib.suppress(ValueError, OSError):
                    sentinel = self._random.choice(workers).child.sentinel
                    signal.pidfd_send_signal(sentinel, signal.SIGKILL)
                    self.killed += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
