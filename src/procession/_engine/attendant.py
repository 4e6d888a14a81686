"""The thread that runs the user's code where nobody waits: callbacks, and feeding what was left.

It exists from its first use on. Most pools never need it: who waits for a result does it all.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.entries import Record

_T = TypeVar("_T")

FULL_RING_STEP = 0.001  # seconds until a full task ring is tried again
STEP = 1.0  # seconds after which it looks around in any case


class Calling(Protocol):
    """Something whose outcome is known, and that is answered after its callback."""

    def call_back(self, engine: Engine) -> None:
        """Run the callback, then be answered."""

    def skip_callback(self, engine: Engine) -> None:
        """Be answered without: the pool was terminated."""


class Attendant:
    """Does what is due in the order it came, and waits on behalf of those who do not wait."""

    def __init__(self, engine: Engine) -> None:
        self.answer: bool | None = None  # it waits like any thread, but for nothing of its own
        self._engine = engine
        self._callbacks: deque[Calling] = deque()
        self._by_value: deque[Record] = deque()
        self._bell = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()

    # ---- called by any thread, also under the engine's lock

    def call(self) -> None:
        """Have it look around: there may be something to feed or to wait for."""
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._stopping:
                    thread = threading.Thread(
                        target=self._run, name="procession-attendant", daemon=True
                    )
                    thread.start()
                    self._thread = thread
        self._bell.set()
        self._engine.channel.wake(self)

    def call_back(self, calling: Calling) -> None:
        """Have a callback run."""
        self._callbacks.append(calling)
        if self._stopping:
            self._skip_callbacks()
        else:
            self.call()

    def send_by_value(self, record: Record) -> None:
        """Have a record sent again with its function by value."""
        self._by_value.append(record)
        self.call()

    def stop(self) -> None:
        """Have it end. What it has not begun is not done, but is answered."""
        self._stopping = True
        self._bell.set()
        self._skip_callbacks()

    def _skip_callbacks(self) -> None:
        # The first may be running; it is answered with the others, lest it never ends.
        for calling in list(self._callbacks):
            calling.skip_callback(self._engine)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, unless called by itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due or being done."""
        return not self._callbacks and not self._by_value

    # ---- the thread

    def _run(self) -> None:
        engine = self._engine
        while not self._stopping:
            self._work_off(self._by_value, engine.send_by_value)
            self._work_off(self._callbacks, lambda calling: calling.call_back(engine))
            if engine.finish_closing() or not engine.is_unattended:
                self._bell.wait(STEP)
                self._bell.clear()
                continue
            engine.step(self, FULL_RING_STEP if engine.feeder.records else STEP)

    def _work_off(self, due: deque[_T], do: Callable[[_T], object]) -> None:
        while due and not self._stopping:
            try:
                do(due[0])
            except BaseException:
                # As for any thread: reported, and the pool goes on.
                kind, error, trace = sys.exc_info()
                assert kind is not None
                threading.excepthook(
                    threading.ExceptHookArgs((kind, error, trace, threading.current_thread()))
                )
            due.popleft()
