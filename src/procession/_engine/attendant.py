"""The thread that runs the user's code where nobody waits: callbacks, and feeding what was left.

It exists from its first use on. Most pools never need it: who waits for a result does it all.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from procession._engine.records import handle_record
from procession._threads import Thread

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.entries import Record

_T = TypeVar("_T")

Arrival = tuple[Any, int, Any, int, int, int]
"""A record, the kind of its answer, the payload, nanoseconds, the items answered."""

FULL_RING_STEP = 0.001  # seconds until a full task ring is tried again
STEP = 1.0  # seconds after which it looks around in any case
HOT_STEP = 0.02  # seconds until who waits for a plain task looks whether there is more to think of


class Calling(Protocol):
    """Something whose outcome is known, and that is answered after its callback."""

    def call_back(self, engine: Engine) -> None:
        """Run the callback, then be answered."""

    def skip_callback(self, engine: Engine) -> None:
        """Be answered without: the pool was terminated. Under the engine's lock; what has to be
        called back even so goes to ``call_back_late``."""


class Attendant:
    """Does what is due in the order it came, and waits on behalf of those who do not wait.

    Attributes:
        is_unused: whether nobody has ever called it.
    """

    def __init__(self, engine: Engine) -> None:
        self.answer: bool | None = None  # it waits like any thread, but for nothing of its own
        self._awaited: Attendant | Record = self  # what it is woken by, in the channel
        self._engine = engine
        self._callbacks: deque[Calling] = deque()
        self._late: deque[Calling] = deque()  # due, although the pool was terminated
        self._by_value: deque[Arrival] = deque()
        self._records: deque[bytes | BaseException] = deque()  # of the logging module
        # Begun; more than one if a callback waits for another.
        self._calling_back: list[Calling] = []
        self._sending: list[Arrival] = []
        self._handling: list[bytes | BaseException] = []
        self._last_sent: Arrival | None = None
        # Locked: nothing happened. No Event: a signal handler must be able to ring while the
        # thread that it interrupts is at that, too.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.is_unused = True
        self._claim: dict[None, object] = {}  # of the one thread that serves
        self._aside: list[threading.Thread] = []  # those that served, and are in a callback still

    # ---- called by any thread, also under the engine's lock

    def call(self) -> None:
        """Have it look around: there may be something to feed or to wait for."""
        if not self._claim and not self._stopping:
            self._start()
        self._ring()
        self._engine.channel.wake(self._awaited)

    def _start(self) -> None:
        # Perhaps more than one is started; the first takes the post, the others go.
        Thread(target=self.run, name="procession-attendant", daemon=True).start()

    def step_aside(self) -> None:
        """Called in a callback that has just asked for another one, and may wait for that: the
        thread gives up its post, and goes when the callback is over. Elsewhere nothing happens."""
        if self.is_current and self._calling_back:
            self._aside.append(threading.current_thread())
            self._claim.clear()
            self._start()

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was rung already
            self._bell.release()

    def call_back(self, calling: Calling) -> None:
        """Have a callback run. Told twice, it runs once: it is answered behind it."""
        self._callbacks.append(calling)
        if self._stopping:
            calling.skip_callback(self._engine)
        else:
            self.call()

    def call_back_late(self, calling: Calling) -> None:
        """Have a callback run that is owed even by a pool that was terminated."""
        self._late.append(calling)
        if not self._claim:
            self._start()

    def send_by_value(self, arrival: Arrival) -> None:
        """Have a record sent again, with its function or arguments by value; once only."""
        self._by_value.append(arrival)
        self.call()

    def handle_record(self, payload: bytes | BaseException) -> None:
        """Have what a worker logged handled here. Told twice, it is handled twice."""
        self._records.append(payload)
        self.call()

    def stop(self) -> list[Record]:
        """Have it end. What it has not begun is not done, but is answered.

        Returns:
            The records that were to be sent again.
        """
        self._stopping = True
        self._ring()
        self._skip_callbacks()
        return [arrival[0] for arrival in (*self._by_value, *self._sending)]

    def _skip_callbacks(self) -> None:
        # One may be running; it is answered with the others, lest it never ends.
        for calling in [*self._callbacks, *self._calling_back]:
            calling.skip_callback(self._engine)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, unless called by itself."""
        for thread in [*self._aside, self._thread]:
            if thread is not None and thread is not threading.current_thread():
                thread.join(timeout)

    @property
    def is_current(self) -> bool:
        """Whether this is its thread: a callback, or something else of the user's that it runs."""
        thread = threading.current_thread()
        return self._thread is thread and thread not in self._aside

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due or being done."""
        due = self._callbacks or self._by_value or self._records
        return not due and not self._calling_back and not self._sending and not self._handling

    # ---- the thread

    def serve(self) -> None:
        """Do what is due. Its own thread's, also from within a callback that waits."""
        self._work_off(self._records, self._handling, handle_record)
        self._work_off(self._by_value, self._sending, self._send_by_value)
        self._work_off(self._callbacks, self._calling_back, self._call_back)

    def _call_back(self, calling: Calling) -> None:
        calling.call_back(self._engine)

    def _send_by_value(self, arrival: Arrival) -> None:
        if arrival is not self._last_sent:
            self._last_sent = arrival
            self._engine.sender.send_by_value(*arrival[:3])

    def run(self) -> None:
        """Serve to the end, in this thread; nothing, if another one does so already."""
        me = object()
        if self._claim.setdefault(None, me) is not me:
            return
        self._thread = threading.current_thread()
        self.is_unused = False
        while not self._stopping and self.is_current:
            try:
                self._serve_and_wait()
            except BaseException:
                _report()
                self._bell.acquire(timeout=FULL_RING_STEP)
        if not self.is_current:
            self._aside.remove(threading.current_thread())
            return
        while self._claim.setdefault(None, me) is me:
            self._work_off(self._late, self._calling_back, self._call_back)
            self._claim.clear()  # who is late from here on has another thread started
            if not self._late:
                return

    def _serve_and_wait(self) -> None:
        engine = self._engine
        self.serve()
        if not self.is_current:
            return
        if engine.finish_closing() or not engine.is_unattended:
            self._bell.acquire(timeout=STEP)
        else:
            # While closing it waits for an answer: behind the last one, the workers are let go.
            self._awaited = self if engine.is_running() else engine.ledger.latest() or self
            engine.step(self._awaited, FULL_RING_STEP if self._waits_for_room() else STEP)
            self._awaited = self

    def _waits_for_room(self) -> bool:
        engine = self._engine
        if engine.feeder.records or any(job.is_short for job in list(engine.feeder.jobs)):
            return True
        return any(stream.is_short for stream in list(engine.streams))

    def _work_off(self, due: deque[_T], doing: list[_T], do: Callable[[_T], object]) -> None:
        while due and (not self._stopping or due is self._late) and self.is_current:
            one = due[0]
            doing.append(one)  # before it leaves the queue: it is never in neither
            due.popleft()
            try:
                do(one)
            except BaseException:
                _report()
            doing.remove(one)


def _report() -> None:
    """As for any thread: the exception is reported, and the pool goes on."""
    kind, error, trace = sys.exc_info()
    assert kind is not None
    threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))
