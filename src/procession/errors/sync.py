"""The errors of what processes share: locks, semaphores, queues."""

from __future__ import annotations

import queue
import sys

from procession.errors import ProcessError


class OwnerDied(ProcessError):
    """A process died with something in hand that others wait for: a lock, permits, items.

    Whatever it guards may be half done. Look at that, then call ``recover()`` of the object and go
    on; until then everybody who would have to wait is told.

    Attributes:
        thing: the kind of object, "Lock" for example.
        pid: process id of the dead process; 0 if it is not known any more.
        name: its name ("Process-3"); may be empty.
        place: where in the code it took last: "function (file:line)"; may be empty.
    """

    __slots__ = ("name", "pid", "place", "thing")

    def __init__(self, thing: str, pid: int = 0, name: str = "", place: str = "") -> None:
        super().__init__(thing, pid, name, place)
        self.thing = thing
        self.pid = pid
        self.name = name
        self.place = place

    def __str__(self) -> str:
        who = f"process {self.name or 'of unknown name'} (pid {self.pid or 'unknown'})"
        where = f", taken in {self.place}" if self.place else ""
        return (
            f"{who} died while it held this {self.thing}{where}: what it guards may be half done; "
            "look at that, then call its recover()"
        )


if sys.version_info >= (3, 13):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):
        """The queue has been shut down (``queue.ShutDown``, from Python 3.13 on)."""


OwnerDied.__module__ = "procession"

__all__ = ["OwnerDied", "ShutDown"]
