"""Locks, semaphores, conditions, events and barriers: with the standard library's names.

They lie in the family's arena: any of them can be an argument, a task, an item of a queue or a
result, in any process of the family. What a process had in hand when it died is told to the
others (OwnerDied), and a dead waiter is not waited for.
"""

from __future__ import annotations

from procession._sync.barriers import Barrier
from procession._sync.conditions import Condition
from procession._sync.events import Event
from procession._sync.locks import BoundedSemaphore, Lock, RLock, Semaphore

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "Semaphore",
]
