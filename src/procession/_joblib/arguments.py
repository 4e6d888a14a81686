"""Batches of joblib's as bytes: large arrays once in a call, arrays in files by their names.

joblib promises its users that an array beyond ``max_nbytes`` is not copied for each task, and
that it is taken as it was when it was first sent in a call. So it is here: it is known by where it
lies for as long as what it belongs to lives, and is copied to shared memory once. It stays there
while a batch that names it is under way; what is seen again stays until the call is over, within a
quarter of the budget. Workers have copy-on-write views.

A ``numpy.memmap`` is opened again by whoever receives it, with the same mode: what a task writes is
in the file.
"""

from __future__ import annotations

import weakref
from typing import Any

from procession import _core
from procession._codec import repeats
from procession._codec.apart import PRIVATE, READ, Apart, Part, Place, take_apart
from procession._codec.buffers import Payload, as_payload, settle
from procession._joblib.files import name_files

_SHARE = 4
"""One in so many bytes of the budget may be kept until a call is over."""

Key = tuple[int, int]  # address and length


class _Held:
    """An array in shared memory; it lives as long as what is sent, or kept, names it."""

    __slots__ = ("__weakref__", "memory")

    def __init__(self, memory: _core.Memory) -> None:
        self.memory = memory


class Sent(Payload):
    """What was pickled. While it lives, so does what it names in shared memory."""

    held: list[_Held]


class Arguments:
    """Pickles the batches of one call.

    Args:
        least: bytes of an array from which on it is taken to be unchanged during the call. None:
            each is looked at each time.
    """

    def __init__(self, least: int | None) -> None:
        self._least = least
        self._known: dict[Key, tuple[weakref.ref[Any], weakref.ref[_Held]]] = {}
        self._kept: dict[Key, _Held] = {}  # those that were seen again
        self._room = _core.memory_budget() // _SHARE

    def forget(self) -> None:
        """The call is over."""
        self._known.clear()
        self._kept.clear()

    def dumps(self, tasks: Any, *, once: bool) -> bytes:
        """A batch as bytes. What lives in the main module goes by value, as under loky: a program
        needs no guard.

        Args:
            tasks: the batch, a callable without arguments.
            once: it is run once at most.

        Raises:
            ArenaFull: there is no room for it now.
            Exception: whatever plain pickle raised, when by value does not work either.
        """
        name_files(tasks)
        pins = _core.pins_made()
        taken = take_apart(tasks)
        if b"__main__" in taken.inner:
            taken.parts.clear()
            _core.withdraw_pins(pins)
            taken = take_apart(tasks, by_value=True)
        if not taken.parts:
            return taken.inner
        try:
            held = self._place(taken)
            repeats.notice(taken)
            settle(taken, once=once, wait=False)
            payload = as_payload(taken)
        except BaseException:
            _core.withdraw_pins(taken.pins)
            repeats.take_back(taken)
            taken.parts.clear()  # who keeps the error shall not keep what is in it
            raise
        sent = Sent(payload, payload.kept, payload.size)
        sent.held = held
        return sent

    def _place(self, taken: Apart) -> list[_Held]:
        """Find or make the places of large arrays."""
        if self._least is None:
            return []
        held = []
        for part in taken.parts:
            if part.place is None and part.form == READ and part.view.nbytes > self._least:
                found = self._find(part)
                if found is not None:
                    held.append(found)
                    form = READ if part.view.readonly else PRIVATE
                    part.place = Place(found.memory, 0, form)
        return held

    def _find(self, part: Part) -> _Held | None:
        view = part.view
        owner = _owner(view)
        key = _core.address_of(view), view.nbytes
        known = self._known.get(key)
        if known is not None and known[0]() is owner:
            held = known[1]()
            if held is not None:
                self._keep(key, held)
                return held
        try:
            of_owner = weakref.ref(owner, lambda _: self._lose(key))
        except TypeError:  # nobody can tell when its bytes are something else
            return None
        memory = _core.Memory.holding([view], wait=False)
        held = _Held(memory)
        if known is not None and known[0]() is owner:
            self._keep(key, held)  # it comes again and again, if not at once
        self._known[key] = of_owner, weakref.ref(held)
        return held

    def _keep(self, key: Key, held: _Held) -> None:
        if key not in self._kept:
            size = sum(each.memory.size for each in list(self._kept.values()))
            if size + held.memory.size <= self._room:
                self._kept[key] = held

    def _lose(self, key: Key) -> None:
        """What an array belongs to has ended; called at any time, in any thread."""
        self._known.pop(key, None)
        self._kept.pop(key, None)


def _owner(view: memoryview) -> Any:
    """What a buffer's bytes belong to: the array at the end of a chain of views."""
    owner: Any = view.obj
    while (base := getattr(owner, "base", None)) is not None:
        owner = base
    return owner
