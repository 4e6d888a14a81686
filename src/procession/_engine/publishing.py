"""Which functions the workers of one pool know: the table, kept by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from procession._codec.functions import FunctionTable, Sent
from procession._codec.objects import dumps
from procession._core import Channel
from procession._engine.ledger import Ledger


class Publisher:
    """Publishes functions and frees what was published. Runs code of the user's (pickling)."""

    def __init__(self, channel: Channel, ledger: Ledger) -> None:
        self._channel = channel
        self._ledger = ledger
        self._table = FunctionTable(channel)
        self._lock = threading.RLock()
        self._for_one: dict[Sent, None] = {}
        self.find = self._table.find

    def publish(self, function: Callable[..., Any], *, by_value: bool = False) -> Sent | None:
        """Publish a function for all calls; None if it must travel with each.

        Raises:
            Exception: what pickle says of a function that can not be pickled.
        """
        with self._lock:
            if self._table.has_retired:
                self._table.free_retired(self._ledger.oldest())
            return self._table.publish(function, self._ledger.last, by_value=by_value)

    def publish_for_one(self, function: Callable[..., Any]) -> Sent:
        """Publish a callable that has a state of its own, for one map or imap call; see free()."""
        content = dumps(function)
        with self._lock:
            sent = self._table.publish_content(content)
        self._for_one[sent] = None
        return sent

    def free(self, sent: Sent) -> None:
        """A call is over: free what was published for it alone."""
        if sent in self._for_one:
            del self._for_one[sent]
            self._channel.free(sent.code)

    def free_all(self) -> None:
        """No task will name any of them any more."""
        for sent in list(self._for_one):
            self.free(sent)
        self._table.free_all()
