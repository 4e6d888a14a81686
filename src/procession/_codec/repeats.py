"""Large arguments that are sent again and again: noticed, and shared from the second time on.

A buffer of at least ``LEAST`` bytes is known by where it lies. The first time it goes like any
other. The second time it is copied into frozen memory of its own. From then on it is compared with
that copy, which costs a look at both but no new memory, and as long as they are the same it is only
named. Within one call over a list it is compared once: nothing is to change meanwhile. Receivers
get copy-on-write views, so nobody sees what another does with it.

If it differs it is a buffer that is filled anew each time (a frame, a batch): it goes like any
other from then on, until its owner ends.

No more than a part of the budget is kept so, least recently sent first out.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

from procession import _core
from procession._codec.apart import PRIVATE, READ, TEXT, Apart, Part, Place

LEAST = 1 << 20
"""Bytes. What is smaller is copied each time."""

SHARE = 8
"""One in so many bytes of the budget may be kept."""

MOST = 256
"""So many buffers are known at a time."""

Key = tuple[int, int]  # address and length


class _Entry:
    """A buffer that was sent.

    Attributes:
        memory: a copy of it, if it was seen to repeat.
        changes: whether it was seen with other bytes since.
        owner: a weak reference to what it belongs to; None if that can not be had.
        call: in which it was compared last.
    """

    __slots__ = ("call", "changes", "memory", "owner")

    def __init__(self, owner: Any) -> None:
        self.memory: _core.Memory | None = None
        self.changes = False
        self.owner = owner
        self.call: object = None


_known: dict[Key, _Entry] = {}
"""The least recently sent first. Each operation on it is one step under the GIL: entries go
whenever the garbage collector finds what they belong to."""


def notice(apart: Apart, *, at_once: bool = False, call: object = None) -> None:
    """Find the places of those parts that were seen to repeat.

    Args:
        apart: what is about to be sent.
        at_once: take all that is large for something that will repeat.
        call: stands for a call during which nothing changes of what is sent.
    """
    for part in apart.parts:
        if part.place is None and part.view.nbytes >= LEAST and part.form != TEXT:
            memory = _find(part, at_once, call)
            if memory is not None:
                part.place = Place(memory, 0, READ if part.view.readonly else PRIVATE)


def take_back(apart: Apart) -> None:
    """What was noticed is not sent after all: what is new in it was not sent once."""
    for part in apart.parts:
        if part.place is None:
            key = _key(part.view)
            entry = _known.get(key)
            if entry is not None and entry.memory is None and not entry.changes:
                _known.pop(key, None)


def forget() -> None:
    """Drop all that is kept."""
    _known.clear()


def kept() -> int:
    """Bytes that are kept."""
    return sum(entry.memory.size for entry in list(_known.values()) if entry.memory is not None)


def _find(part: Part, at_once: bool, call: object) -> _core.Memory | None:
    view = part.view
    key = _key(view)
    entry = _known.pop(key, None)
    if entry is None or (entry.changes and _is_of_another(entry, view)):
        entry = _Entry(_reference(view, key))
        if not at_once:
            _keep(key, entry)
            return None
    if entry.memory is not None:
        is_looked_at = call is not None and entry.call is call
        if not is_looked_at and not _core.same_bytes(view, entry.memory):
            entry.memory = None
            # Bytes can not change: it was another object, at the same place.
            entry.changes = type(view.obj) is not bytes
    elif not entry.changes and view.nbytes <= _most_kept():
        try:
            entry.memory = _core.Memory.holding([view], wait=False)
        except MemoryError:
            pass  # it is told when it is sent
        else:
            entry.memory.freeze()
    entry.call = call
    _keep(key, entry)
    return entry.memory


def _key(view: memoryview) -> Key:
    return _core.address_of(view), view.nbytes


def _keep(key: Key, entry: _Entry) -> None:
    _known[key] = entry
    most = _most_kept()
    while len(_known) > MOST or kept() > most:
        try:
            oldest = next(iter(_known))
        except (StopIteration, RuntimeError):  # another thread is at it, too
            return
        if oldest == key:
            return
        _known.pop(oldest, None)


def _most_kept() -> int:
    return _core.memory_budget() // SHARE


def _is_of_another(entry: _Entry, view: memoryview) -> bool:
    return entry.owner is not None and entry.owner() is not _owner(view)


def _owner(view: memoryview) -> Any:
    """What a buffer's bytes belong to: the array at the end of a chain of views."""
    owner: Any = view.obj
    while (base := getattr(owner, "base", None)) is not None:
        owner = base
    while isinstance(owner, memoryview):
        owner = owner.obj
    return owner


def _reference(view: memoryview, key: Key) -> Any:
    try:
        return weakref.ref(_owner(view), lambda _: _known.pop(key, None))
    except TypeError:
        return None


# A child has other tasks, and must not hold what its parent keeps.
os.register_at_fork(after_in_child=forget)
