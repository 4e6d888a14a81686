"""Arguments and results as bytes: plain pickle first, cloudpickle where that fails.

Plain pickle costs a third of a microsecond for small arguments, cloudpickle several;
lambdas, closures and what lives in a notebook cell are worth that, integers are not.

Programs register ways of pickling with the standard library (tensors, sockets, its connections).
Those are used, also for what plain pickle would take otherwise.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
import types
from collections import ChainMap
from collections.abc import Callable, MutableMapping
from typing import Any

from procession import _core
from procession._codec import arrays

PROTOCOL = 5

REFUSALS = (pickle.PicklingError, TypeError, AttributeError)
"""What plain pickle says of an object that by value may go. All other errors are somebody else's,
a signal handler's for one."""

loads = pickle.loads

quick_loads = _core.quick_loads
"""The same without its options: what is small and plain is read by the core at once."""

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
        self.table: MutableMapping[type, Callable[[Any], Any]] = {}
        self.harmless = 0  # so many of the table's types plain pickle may try first
        self.borrow: Callable[[], object] = lambda: None  # loads the table
        self._agrees: Callable[[type], bool] = _AS_PLAIN.__contains__
        self._counted = 0
        self._by_value: tuple[Any, Any] = (None, None)  # made for these tables: a kind of pickler

    def use(
        self, table: MutableMapping[type, Callable[[Any], Any]], agrees: Callable[[type], bool]
    ) -> None:
        """Use this table from now on.

        ``agrees`` says of one of its types whether plain pickle makes no other bytes of it; it may
        take one out for which there is no need.
        """
        self.table, self._agrees = table, agrees
        self._counted, self._by_value = -1, (None, None)
        self.are_harmless()

    def are_harmless(self) -> bool:
        """Whether plain pickle may try first; looks at what was registered since the last time."""
        size = len(self.table)
        if size != self._counted:
            self.harmless = sum(kind in _AS_PLAIN or self._agrees(kind) for kind in [*self.table])
            size = self._counted = len(self.table)  # some may be needed no more
        return size == self.harmless

    def merged(self) -> dict[Any, Any]:
        """A pickler's table: ours for what is large, and above them what programs registered."""
        arrays.look_around()
        merged = {**arrays.table, **copyreg.dispatch_table}
        if self.table:
            merged.update(self._theirs())
        return merged

    def _theirs(self) -> dict[type, Callable[[Any], Any]]:
        theirs = {
            kind: reduce for kind, reduce in dict(self.table).items() if kind not in _AS_PLAIN
        }
        return {**theirs, **arrays.before(theirs)}

    def by_value(self, kind: Any) -> Any:
        """``kind``, cloudpickle's pickler, with this table besides its own."""
        arrays.look_around()
        tables = dict(self.table), len(arrays.table)  # a type may have been registered again
        if self._by_value[0] != tables:
            own = kind.dispatch_table
            table = ChainMap(self._theirs(), copyreg.dispatch_table, arrays.table, own)
            # The table is read when a pickler is made, and from its class.
            self._by_value = tables, type("Pickler", (kind,), {"dispatch_table": table})
        return self._by_value[1]


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
            try:
                return pickle.dumps(value, PROTOCOL, buffer_callback=_is_in_band)
            except _Protected:
                _core.withdraw_pins(pins)
                return _dumps_unprotected(value)
        return _dumps_as_registered(value)
    except REFUSALS as plain_error:
        _core.withdraw_pins(pins)
        try:
            return _dumps_otherwise(value, pins)
        except REFUSALS:
            _core.withdraw_pins(pins)
            # Of all the errors the plain one speaks of the user's object.
            raise plain_error from None
        except BaseException:
            _core.withdraw_pins(pins)
            raise
    except BaseException:
        _core.withdraw_pins(pins)
        raise


class _Protected(Exception):
    """Raised in the midst of a pickling: there is a read-only array in it."""


def _is_in_band(buffer: pickle.PickleBuffer) -> bool:
    view = memoryview(buffer)
    if view.readonly and type(view.obj) is getattr(sys.modules.get("numpy"), "ndarray", None):
        raise _Protected
    return True


def _dumps_unprotected(value: object) -> bytes:
    """Plain pickle, but for arrays that are read-only here: see ``arrays.unprotected``."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, PROTOCOL)
    table = {sys.modules["numpy"].ndarray: lambda a: arrays.unprotected(a).__reduce_ex__(PROTOCOL)}
    pickler.dispatch_table = {**table, **copyreg.dispatch_table}
    pickler.dump(value)
    return buffer.getvalue()


def dumps_by_value(value: object) -> bytes:
    """``value`` as bytes, with what lives in ``__main__`` or has no importable name inside."""
    import cloudpickle

    buffer = io.BytesIO()
    reducers.by_value(cloudpickle.Pickler)(buffer, PROTOCOL).dump(value)
    return buffer.getvalue()


def _dumps_as_registered(value: object) -> bytes:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, PROTOCOL)
    pickler.dispatch_table = reducers.merged()
    pickler.dump(value)
    return buffer.getvalue()


def _dumps_otherwise(value: object, pins: int) -> bytes:
    try:
        return dumps_by_value(value)
    except REFUSALS:
        if reducers.table:
            raise
        _core.withdraw_pins(pins)
        reducers.borrow()
        return dumps_by_value(value)


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
