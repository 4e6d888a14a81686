"""Kills workers, again and again."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Iterator

from tests.field.doors import mp


@contextlib.contextmanager
def killer(seed: int, pause: float) -> Iterator[list[int]]:
    """Kills one of this process's workers every so many seconds; the pids of those it hit."""
    choice, stop = random.Random(seed), threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while not stop.wait(pause):
            workers = mp.active_children()
            if workers:
                worker = choice.choice(workers)
                with contextlib.suppress(ValueError, OSError):  # its death was seen to just now
                    signal.pidfd_send_signal(worker.sentinel, signal.SIGKILL)
                    killed.append(worker.pid)

    thread = threading.Thread(target=kill, name="killer")
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()
