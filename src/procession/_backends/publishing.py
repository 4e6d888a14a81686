"""Which functions the workers of another engine can know: pickled once, and named by a number."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from procession._backends.abilities import Ability
from procession._backends.packing import pack
from procession._backends.seam import Backend
from procession._codec.captured import captured, has_state
from procession._codec.functions import ANEW, KEPT_BY_SENDER, Sent, travels_by_number
from procession._codec.objects import PROTOCOL
from procession._engine.ledger import Ledger

LEAST_PUT = 16384
"""Bytes. A smaller function goes with each request, which costs less than to name it."""


class Published:
    """A function as it travels.

    Attributes:
        content: its pickle.
        handle: what the engine calls that; None while it goes with each request.
    """

    __slots__ = ("content", "handle")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.handle: Any = None


class _Entry:
    __slots__ = ("by_value", "captured", "function", "sent")

    def __init__(
        self,
        function: Callable[..., Any],
        sent: Sent,
        captured: tuple[Any, ...] | None,
        *,
        by_value: bool,
    ) -> None:
        self.function = function
        self.sent = sent
        self.captured = captured
        self.by_value = by_value


class Publishing:
    """The publisher of a pool on another engine; in the place of ``Publisher``."""

    def __init__(self, backend: Backend, ledger: Ledger) -> None:
        self._backend = backend
        self._ledger = ledger
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._entries: dict[int, _Entry] = {}
        self._published: dict[int, Published] = {}
        # What no task sent from now on names: (last task that may name it, number).
        self._retired: deque[tuple[int, int]] = deque()

    def find(self, function: Any) -> Sent | None:
        """The function as already published, if what was published still holds."""
        entry = self._entries.get(id(function))
        if entry is None or not entry.by_value:
            return None if entry is None else entry.sent
        unchanging = entry.captured
        if unchanging is not None:
            now = captured(function)
            if now is None or len(now) != len(unchanging):
                return None
            same = all(one is other for one, other in zip(now, unchanging, strict=True))
            return entry.sent if same else None
        published = self._published.get(entry.sent.code)
        if published is None or self._dumps(function) != published.content:
            return None
        return entry.sent

    def publish(self, function: Callable[..., Any], *, by_value: bool = False) -> Sent | None:
        """Publish a function for all calls; None if it must travel with each.

        Raises:
            Exception: what pickle says of a function that can not be pickled.
        """
        if not travels_by_number(function):
            return None
        with self._lock:
            self._free_retired()
            content = self._dumps(function)
            is_by_value = content != _by_name(function)
            sent = self._enter(content, anew=is_by_value and has_state(function))
            found = captured(function) if is_by_value else None
            self._retire(id(function))
            self._entries[id(function)] = _Entry(function, sent, found, by_value=is_by_value)
            while len(self._entries) > KEPT_BY_SENDER:
                self._retire(next(iter(self._entries)))
        return sent

    def publish_for_one(self, function: Callable[..., Any]) -> Sent:
        """Publish a callable that has a state of its own, for one call; see free()."""
        content = self._dumps(function)
        with self._lock:
            self._free_retired()
            return self._enter(content, anew=True)

    def published(self, sent: Sent) -> Published:
        """What stands behind a number.

        Raises:
            LookupError: it was freed.
        """
        found = self._published[sent.code]
        if (
            found.handle is None
            and len(found.content) >= LEAST_PUT
            and Ability.BROADCAST in self._backend.abilities
        ):
            found.handle = self._backend.put(found.content)
        return found

    def make_room(self) -> bool:
        """There is no arena to make room in."""
        return False

    def free(self, sent: Sent) -> None:
        """A call is over: forget what was published for it alone, when no task names it."""
        with self._lock:
            self._retired.append((self._ledger.last, sent.code))

    def free_all(self) -> None:
        """No task will name any of them any more."""
        self._entries.clear()
        self._retired.clear()
        self._published.clear()

    def _dumps(self, function: Callable[..., Any]) -> bytes:
        return bytes(pack(function, self._backend, beside=False))

    def _enter(self, content: bytes, *, anew: bool) -> Sent:
        code = next(self._numbers)
        self._published[code] = Published(content)
        return Sent(code | ANEW if anew else code, code)

    def _retire(self, key: int) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._retired.append((self._ledger.last, entry.sent.code))

    def _free_retired(self) -> None:
        oldest = self._ledger.oldest()
        while self._retired and self._retired[0][0] < oldest:
            self._published.pop(self._retired.popleft()[1], None)


class GivenPublishing:
    """The same where functions are handed over as they are."""

    _SENT = Sent(1, 0)

    def find(self, function: Any) -> Sent | None:
        """Each function is its own name."""
        return self._SENT

    publish_for_one = find

    def publish(self, function: Callable[..., Any], *, by_value: bool = False) -> Sent | None:
        """Nothing to do."""
        return self._SENT

    def make_room(self) -> bool:
        """There is no arena to make room in."""
        return False

    def free(self, sent: Sent) -> None:
        """Nothing was kept."""

    def free_all(self) -> None:
        """Nothing was kept."""


def _by_name(function: Any) -> bytes | None:
    try:
        return pickle.dumps(function, PROTOCOL)
    except Exception:
        return None
