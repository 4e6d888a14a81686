"""Arguments for another engine: a pickle, and the arrays that were share()d beside it.

Nothing of the arena goes there. Where an engine sends objects once to each node, what was share()d
is given to it once, and named from then on; elsewhere its bytes are in the pickle.
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from procession import _core
from procession._backends.abilities import Ability
from procession._backends.remote import from_beside, names_local
from procession._backends.seam import Backend
from procession._codec.apart import Apart, take_apart, take_each_apart
from procession._codec.buffers import (
    ItemRefused,
    Payload,
    are_for_themselves,
    pickled_at_once,
)
from procession._codec.objects import PROTOCOL, REFUSALS, reducers
from procession.errors.backend import NotSupported

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.entries import Record
    from procession._engine.options import Options

_NEVER = 1 << 62
MOST_PUT = 64
"""Shared memories whose handles are kept, for each pool."""

_MAIN = b"__main__"
_BY_VALUE = b"cloudpickle"


class GivenPayload(Payload):
    """Arguments that do not travel."""

    value: Any

    @classmethod
    def of(cls, value: Any) -> GivenPayload:
        """Stands for them."""
        self = cls(b"", (), 0)
        self.value = value
        return self


class _Beside:
    """Pickled in the place of an object that has buffers beside it."""

    __slots__ = ("inner", "places")

    def __init__(self, inner: bytes, places: list[Any]) -> None:
        self.inner = inner
        self.places = places

    def __reduce__(self) -> tuple[Any, ...]:
        return from_beside, (self.inner, self.places)


class Shares:
    """What was share()d, as the engine has it: each memory once.

    Args:
        backend: keeps them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._handles: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def handle(self, memory: _core.Memory) -> Any:
        """What the engine calls it. The engine's thread: it may take its time."""
        name = memory._name()
        with self._lock:
            found = self._handles.get(name)
            if found is None:
                found = self._backend.put(PickleBuffer(memoryview(memory)))
                self._handles[name] = found
            self._handles.move_to_end(name)
            while len(self._handles) > MOST_PUT:
                self._handles.popitem(last=False)
        return found

    def clear(self) -> None:
        """None is needed any more."""
        self._handles.clear()


def pack(value: Any, backend: Backend, *, beside: bool = True, each: bool = False) -> bytes:
    """``value`` as a pickle, by value where that is needed.

    Args:
        beside: what was share()d may go beside it.
        each: it is items that are pickled each by itself; see ``dumps_items``.

    Raises:
        NotSupported: a lock or the like is in it.
        ItemRefused: one of the items can not be pickled.
        Exception: what plain pickle says of it.
    """
    pins = _core.pins_made()
    try:
        taken, refusal = take_each_apart(value, _taken) if each else (_taken(value), None)
        packed = _joined(taken, beside=beside and Ability.BROADCAST in backend.abilities)
    except BaseException:
        _core.withdraw_pins(pins)
        raise
    if _core.pins_made() != pins and names_local(packed):  # else another thread made them
        _core.withdraw_pins(pins)
        advice = getattr(backend, "local_advice", "what the engine has itself")
        raise NotSupported(
            "locks, queues, values and shared memory of procession work between the processes of "
            f"one machine that procession has started, and can not go to {backend.name}; "
            f"use {advice}"
        )
    if refusal is not None:
        raise ItemRefused(refusal, packed)
    return packed


def _taken(value: object) -> bytes | Apart:
    error: Exception | None = None
    if len(reducers.table) == reducers.harmless or reducers.are_harmless():
        try:
            made = _core.quick_dumps(value)
            if made is not None and _MAIN not in made:
                return made
        except REFUSALS as refusal:
            error = refusal
    try:
        taken = take_apart(value, least=_NEVER, error=error)
    finally:
        error = None  # its traceback has this frame
    if _MAIN in taken.inner and _BY_VALUE not in taken.inner:
        return take_apart(value, least=_NEVER, by_value=True)
    return taken


def _joined(taken: bytes | Apart, *, beside: bool) -> bytes:
    if not isinstance(taken, Apart):
        return taken
    if not taken.parts:
        return taken.inner
    memories: dict[tuple[int, ...], tuple[int, _core.Memory]] = {}
    places: list[Any] = []
    for part in taken.parts:
        place = part.place
        if place is None or not beside:
            places.append(bytes(part.view))
            continue
        name = place.memory._name()
        number, _ = memories.setdefault(name, (len(memories), place.memory))
        places.append((number, place.offset, part.view.nbytes))
    content = pickle.dumps(_Beside(taken.inner, places), PROTOCOL)
    return Payload(content, [memory for _, memory in memories.values()], len(content))


class Packing:
    """The packer of a pool on another engine; in the place of ``Packer``."""

    def __init__(self, engine: Engine, backend: Backend) -> None:
        self._engine = engine
        self._backend = backend
        self._is_given = Ability.BY_REFERENCE in backend.abilities
        self.at_once = None if self._is_given else partial(pickled_at_once, take=_taken)

    def pack(self, value: Any, options: Options) -> bytes:
        """The arguments of one task. Raises what pickling raises."""
        return GivenPayload.of(value) if self._is_given else pack(value, self._backend)

    def send(self, record: Record) -> bool:
        """Put a record into the relay."""
        return self._engine.send(record)

    def pack_items(
        self, items: Sequence[Any], options: Options, most: int | None, call: object, *, each: bool
    ) -> bytes:
        """The items of a piece; see ``dumps_items``."""
        if self._is_given:
            return GivenPayload.of(items if isinstance(items, range) else list(items))
        numbers = _core.pack_numbers(items) if type(items) is list else None
        each = each and are_for_themselves(items)
        return numbers or pack(items, self._backend, each=each)

    def is_worth_waiting(self, shortage: object, full: object) -> bool:
        """There is no room to wait for."""
        return False


def kept_by(payload: bytes) -> Sequence[_core.Memory]:
    """The memories that a payload names."""
    return payload.kept if isinstance(payload, Payload) else ()
