"""An engine without processes, for tests of the jobs: the test is its workers."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from procession._codec import messages
from procession._codec.functions import Sent
from procession._codec.objects import dumps_items, loads_items
from procession._engine.entries import DEATH, Death, Record


class FakeChannel:
    """Takes a bounded number of records, and is never waited for."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.woken: list[object] = []

    def wake(self, entry: object) -> None:
        """Nobody sleeps: note whom it was for."""
        self.woken.append(entry)

    def submit(self, record: Record, open: dict[int, Any], number: int, *rest: Any) -> bool:
        """Keep the record, if there is room."""
        return self._engine.send(record)


class FakeFunctions:
    """Every function is published already."""

    def find(self, function: Any) -> Sent:
        """As if it was."""
        return Sent(1, 1)

    def free(self, sent: Sent) -> None:
        """Nothing to give back."""


class FakeLedger:
    """Numbers."""

    def __init__(self) -> None:
        self._last = 0

    def next_number(self) -> int:
        """The next one."""
        self._last += 1
        return self._last


class FakeAttendant:
    """Keeps what is to be called back."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_back(self, calling: Any) -> None:
        """Told of something whose outcome is known."""
        self.due.append(calling)


class FakeEngine:
    """What a job needs of the engine.

    Attributes:
        ring: the records that were sent and not answered.
        room: how many it takes; None for any number.
    """

    def __init__(self, workers: int = 2, room: int | None = None) -> None:
        self.workers = workers
        self.room = room
        self.ring: deque[Any] = deque()
        self.open: dict[int, Any] = {}
        self.lock = threading.RLock()
        self.ledger = FakeLedger()
        self.functions = FakeFunctions()
        self.channel = FakeChannel(self)
        self.attendant = FakeAttendant()
        self.streams: set[Any] = set()
        self.with_callbacks: set[Any] = set()
        self.is_finished = False
        self.when_waiting: Callable[[], object] = self.answer_one

    def send(self, record: Record) -> bool:
        """Keep the record, if there is room."""
        if self.room is not None and len(self.ring) >= self.room:
            return False
        record.block = 0
        self.ring.append(record)
        return True

    def free_payload(self, record: Record) -> None:
        """Nothing to give back."""

    def step(self, entry: Any, timeout: float | None) -> None:
        """A job waits: let something happen."""
        self.when_waiting()

    def end_error(self) -> Exception:
        """For what is left at the end."""
        return RuntimeError("ended")

    # ---- the test's part

    def take(self, index: int = 0) -> Any:
        """Take a record out of the ring, as a worker does."""
        self.ring.rotate(-index)
        record = self.ring.popleft()
        self.ring.rotate(index)
        return record

    def answer(self, record: Any, function: Callable[[Any], Any]) -> None:
        """Run a record's items as a worker would, and answer."""
        content = loads_items(record.payload)
        if record.kind == messages.CALL_ONE:
            self.give(record, messages.VALUE, pickle.dumps(function(content)))
        else:
            self.give(record, messages.VALUE, dumps_items([function(item) for item in content]))

    def answer_one(self, index: int = 0) -> None:
        """Answer a record with its own items."""
        self.answer(self.take(index), lambda item: item)

    def die_at(self, record: Any, item: int) -> None:
        """The worker dies at an item of a record."""
        self.give(record, DEATH, Death(1234, -9, item))

    def give(self, record: Any, kind: int, payload: Any, taken: int = 1000) -> None:
        """Hand an answer to a record: as the core does, or as the engine does."""
        if record.attend is True or (kind < 0 and record.attend is not False):
            with self.lock:
                record.arrive(self, kind, payload, taken)
            return
        record.answer = (kind, payload, taken)
        if record.attend is not False:
            record.attend.append(record)
