"""Functions in forked processes, and what they return: for tests, with nothing of ours between."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from multiprocessing import util
from typing import Any

from procession import _core


class Forked:
    """A call in a forked child, which ends right behind it as os._exit() does.

    Args:
        call: what is called; what it returns is pickled.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._inbox, outbox = os.pipe()
        self.pid = _core.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._inbox)
                # The standard library's locks forget their owner.
                util._run_after_forkers()  # type: ignore[attr-defined]
                os.write(outbox, pickle.dumps(call()))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(outbox)

    def result(self) -> Any:
        """Wait for its end; what it returned."""
        with open(self._inbox, "rb") as inbox:
            content = inbox.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"the forked call failed: status {status}"
        return pickle.loads(content)

    def kill(self) -> None:
        """SIGKILL it, and wait for its end."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._inbox)


def run_forked(call: Callable[[], Any]) -> Any:
    """What a call in a forked child returns."""
    return Forked(call).result()


def shared_numbers(count: int) -> memoryview:
    """Zeros that this process and those forked later share."""
    return memoryview(mmap.mmap(-1, count * 8)).cast("q")
