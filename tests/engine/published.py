"""A model of the table of functions: what the workers know, and how it was sent to them."""

from __future__ import annotations

from typing import Any

from procession._codec.functions import Sent

KNOWN = Sent(1, 1)
BY_VALUE = Sent(2, 2)


class FakeFunctions:
    """Every function is published already, unless it has a state of its own.

    Attributes:
        own: those that were published for one call, and not freed.
        is_known: whether functions have no state of their own.
    """

    def __init__(self) -> None:
        self.own: list[Sent] = []
        self.is_known = True
        self._next = 3

    def find(self, function: Any) -> Sent | None:
        """As if it was published."""
        return KNOWN if self.is_known else None

    def publish(self, function: Any, *, by_value: bool = False) -> Sent | None:
        """The same."""
        return BY_VALUE if by_value and self.is_known else None

    def publish_for_one(self, function: Any, *, by_value: bool = False) -> Sent:
        """For one call."""
        self.own.append(Sent(self._next, self._next))
        self._next += 1
        return self.own[-1]

    def make_room(self) -> bool:
        """Nothing is large."""
        return False

    def free(self, sent: Sent) -> None:
        """The call is over."""
        self.own.remove(sent)

    def free_all(self) -> None:
        """The pool is over."""
        self.own.clear()
