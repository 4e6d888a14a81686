"""Arguments and results as bytes: plain pickle first, cloudpickle where that fails.

Plain pickle costs a third of a microsecond for small arguments, cloudpickle several;
lambdas, closures and what lives in a notebook cell are worth that, integers are not.

Programs register ways of pickling with the standard library (tensors, sockets, its connections).
Those are used, also for what plain pickle would take otherwise.

The items of a chunk have a form of their own: a list of nothing but integers, or nothing but
floats, goes as machine words.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from procession import _core

PROTOCOL = 5

_PICKLE_MARK = pickle.PROTO[0]
"""The first byte of every pickle; no list of numbers begins with it."""

loads = pickle.loads


_AS_PLAIN = frozenset(
    {
        types.MethodType,
        types.MethodDescriptorType,
        types.WrapperDescriptorType,
        functools.partial,
    }
)
"""Registered by the standard library itself; picklers have as good a way of their own."""


class Reducers:
    """What is registered with the standard library's pickler."""

    __slots__ = ("_agrees", "_by_value", "_counted", "borrow", "harmless", "table")

    def __init__(self) -> None:
        self.table: Mapping[type, Callable[[Any], Any]] = {}
        self.harmless = 0  # so many of the table's types plain pickle may try first
        self.borrow: Callable[[], object] = lambda: None  # loads the table
        self._agrees: Callable[[type], bool] = _AS_PLAIN.__contains__
        self._counted = 0
        self._by_value: tuple[int, Any] = (-1, None)  # a table's size, and a kind of pickler

    def use(
        self, table: Mapping[type, Callable[[Any], Any]], agrees: Callable[[type], bool]
    ) -> None:
        """Use this table from now on.

        ``agrees`` says of one of its types whether plain pickle makes no other bytes of it.
        """
        self.table, self._agrees = table, agrees
        self._counted, self._by_value = -1, (-1, None)
        self.are_harmless()

    def are_harmless(self) -> bool:
        """Whether plain pickle may try first; looks at what was registered since the last time."""
        size = len(self.table)
        if size != self._counted:
            self.harmless = sum(kind in _AS_PLAIN or self._agrees(kind) for kind in [*self.table])
            self._counted = size
        return size == self.harmless

    def merged(self, own: Mapping[type, Any]) -> dict[type, Any]:
        """A pickler's own table and this one."""
        ours = {kind: reduce for kind, reduce in self.table.items() if kind not in _AS_PLAIN}
        return {**own, **ours}

    def by_value(self, kind: Any) -> Any:
        """``kind``, cloudpickle's pickler, with this table besides its own."""
        if not self.table:
            return kind
        size, made = self._by_value
        if size != len(self.table):
            # The table is read when a pickler is made, and from its class.
            made = type("Pickler", (kind,), {"dispatch_table": self.merged(kind.dispatch_table)})
            self._by_value = len(self.table), made
        return made


reducers = Reducers()
"""Those of this process. Whoever calls plain pickle asks ``len(reducers.table) ==
reducers.harmless`` before, for that is nearly always so and costs next to nothing."""


def dumps(value: object) -> bytes:
    """``value`` as bytes.

    Raises:
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    pins = _core.pins_made()
    try:
        if len(reducers.table) == reducers.harmless or reducers.are_harmless():
            return pickle.dumps(value, PROTOCOL)
        return _dumps_as_registered(value)
    except Exception as plain_error:
        _core.withdraw_pins(pins)
        try:
            return _dumps_otherwise(value, pins)
        except Exception:
            _core.withdraw_pins(pins)
            # Of all the errors the plain one speaks of the user's object.
            raise plain_error from None


def dumps_by_value(value: object) -> bytes:
    """``value`` as bytes, with what lives in ``__main__`` or has no importable name inside."""
    import cloudpickle

    buffer = io.BytesIO()
    reducers.by_value(cloudpickle.Pickler)(buffer, PROTOCOL).dump(value)
    return buffer.getvalue()


def _dumps_as_registered(value: object) -> bytes:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, PROTOCOL)
    pickler.dispatch_table = reducers.merged(copyreg.dispatch_table)
    pickler.dump(value)
    return buffer.getvalue()


def _dumps_otherwise(value: object, pins: int) -> bytes:
    try:
        return dumps_by_value(value)
    except Exception:
        if reducers.table:
            raise
        _core.withdraw_pins(pins)
        reducers.borrow()
        return dumps_by_value(value)


def dumps_items(items: Sequence[Any]) -> bytes:
    """The items of a chunk, or their results, as bytes for ``loads_items``. Raises as ``dumps``."""
    return (_core.pack_numbers(items) if type(items) is list else None) or dumps(items)


def loads_items(payload: bytes | memoryview) -> Any:
    """What ``dumps_items`` was given. Runs code of the user's, like every unpickling."""
    return loads(payload) if payload[0] == _PICKLE_MARK else _core.unpack_numbers(payload)


def short_repr(value: Any, limit: int = 60) -> str:
    """``repr(value)`` cut to ``limit`` characters; never raises."""
    try:
        # The repr() of what is long takes long.
        if isinstance(value, (str, bytes, bytearray, list, tuple)) and len(value) > limit:
            value = value[:limit]
        text = repr(value)
    except (Exception, SystemExit, GeneratorExit) as error:
        text = f"<{type(value).__name__} whose repr() raised {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"
