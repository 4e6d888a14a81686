"""Which functions the workers of one pool know: the table, kept by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from procession._codec.functions import FunctionTable, Sent, dumps_for_one
from procession._core import Channel
from procession._engine.ledger import Ledger
from procession.errors.memory import ArenaFull


class Publisher:
    """Publishes functions and frees what was published. Runs code of the user's (pickling)."""

    def __init__(self, channel: Channel, ledger: Ledger, lock: threading.RLock) -> None:
        self._ledger = ledger
        self._table = FunctionTable(channel)
        self._lock = lock
        self._for_one: dict[Sent, None] = {}
        self.find = self._table.find
        self.by_name = self._table.by_name

    def publish(self, function: Callable[..., Any], *, by_value: bool = False) -> Sent | None:
        """Publish a function for all calls; None if it must travel with each.

        Raises:
            Exception: what pickle says of a function that can not be pickled.
        """
        with self._lock:
            self._free_retired()
            publish = partial(self._table.publish, function, by_value=by_value)
            try:
                return publish(self._ledger.last)
            except ArenaFull:
                if not self.make_room():
                    raise
                return publish(self._ledger.last)

    def publish_for_one(self, function: Callable[..., Any], *, by_value: bool = False) -> Sent:
        """Publish a callable that has a state of its own, for one map or imap call; see free()."""
        with self._lock:
            self._free_retired()
        try:
            content = dumps_for_one(function, by_value=by_value)
        except ArenaFull:
            if not self.make_room():
                raise
            content = dumps_for_one(function, by_value=by_value)
        with self._lock:
            sent = self._table.publish_content(content)
        self._for_one[sent] = None
        return sent

    def _free_retired(self) -> None:
        table = self._table
        if table.has_retired:
            table.free_gone()
            table.free_retired(self._ledger.oldest())

    def make_room(self) -> bool:
        """There is no room in the arena: let go of what is large in functions, if no task on its
        way names them, those that are gone first. Whether something was freed."""
        if not self._lock.acquire(blocking=False):
            return False  # somebody is at it, and may run code of the user's
        try:
            if self._table.free_gone():
                return True
            try:
                named = {record.sent.code for record in list(self._ledger.open.values())}
            except RuntimeError:  # another thread entered one meanwhile
                return False
            return self._table.free_heavy(named)
        finally:
            self._lock.release()

    def free(self, sent: Sent) -> None:
        """A call is over: free what was published for it alone."""
        if sent in self._for_one:
            del self._for_one[sent]
            self._table.free(sent.code)

    def free_all(self) -> None:
        """No task will name any of them any more."""
        for sent in list(self._for_one):
            self.free(sent)
        self._table.free_all()
