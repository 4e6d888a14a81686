"""Events. Setting one takes no lock, so no process that dies can leave it in the others' way."""

from __future__ import annotations

from typing import Any

from procession._core.binding import Event as Flag

__all__ = ["Event"]


class Event(Flag):
    """A flag that processes set, clear and wait for.

    Who waits when it is set is let go, though it may be cleared at once. An event can be sent to
    any process of the family, as an argument or through a queue or pipe.

    Args:
        ctx: what made it; taken for the standard library's sake.
    """

    def __init__(self, *, ctx: Any = None) -> None:
        super().__init__()

    def __repr__(self) -> str:
        status = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {status}>"
