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

    On a busy machine a start may take longer than the pause. So half of the workers are ready when
    one is killed, or the work would never end; and of two in a row one was ready, for a pool whose
    workers end before they are is broken.

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
        spares_beginners = False
        while not self._stop.wait(self._pause):
            crew = list(self._crew)
            ready = [worker for worker in crew if worker.ready_at]
            if ready and len(ready) * 2 >= len(crew):
                workers = ready if spares_beginners else crew
                victim = self._random.choice(workers)
                spares_beginners = not victim.ready_at
                # Its death may have been seen to a moment ago.
                with contextlib.suppress(ValueError, OSError):
                    signal.pidfd_send_signal(victim.child.sentinel, signal.SIGKILL)
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
