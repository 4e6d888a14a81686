"""What is sent through a connection, as bytes: plain pickle, and what the standard library adds.

Its pickler knows more than pickle does (sockets, connections of its own), and programs register
types there. So what is registered is used, and where plain pickle fails it is loaded for that. What
fails also then goes by value, as a task's arguments do.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from procession import _core
from procession._codec.objects import PROTOCOL
from procession._launch import stdlib

loads = pickle.loads

LEAST_APART = 128 << 10
"""Bytes. A smaller buffer is copied into the pickle: it goes as fast that way."""

_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})  # nothing is registered for them
_reduction: Any = None  # the standard library's module, once somebody has loaded it


def dumps(value: object, apart: list[memoryview] | None = None) -> bytes | memoryview:
    """``value`` as bytes, for ``loads``.

    Args:
        value: any object.
        apart: gets the large buffers in it (of arrays), which are not in the bytes then; ``loads``
            is to be given them again. None: all goes into the bytes.

    Raises:
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    pins = _core.pins_made()
    try:
        if type(value) in _PLAIN:
            return pickle.dumps(value, PROTOCOL)
        if _is_loaded():
            return _dumps_as_registered(value, apart)
        return pickle.dumps(value, PROTOCOL, buffer_callback=_collector(apart))
    except Exception as plain_error:
        _core.withdraw_pins(pins)
        try:
            return _dumps_otherwise(value, apart)
        except Exception:
            _core.withdraw_pins(pins)
            # Of all the errors the plain one speaks of the user's object.
            raise plain_error from None


def together(pickled: bytes | memoryview, buffers: Sequence[memoryview]) -> bytes:
    """A pickle, and what ``dumps`` set apart, as one pickle."""
    import pickletools

    whole = io.BytesIO()
    left = list(reversed(buffers))
    steps = [(code.name, at) for code, _, at in pickletools.genops(bytes(pickled))]
    ends = [at for _, at in steps[1:]] + [len(pickled)]
    is_readonly = [name == "READONLY_BUFFER" for name, _ in steps[1:]] + [False]
    for (name, at), end, readonly in zip(steps, ends, is_readonly, strict=True):
        if name == "NEXT_BUFFER":
            code = pickle.BINBYTES8 if readonly else pickle.BYTEARRAY8
            buffer = left.pop()
            whole.write(code + len(buffer).to_bytes(8, "little"))
            whole.write(buffer)
        elif name not in ("READONLY_BUFFER", "FRAME"):  # a frame's length would be wrong
            whole.write(pickled[at:end])
    return whole.getvalue()


def _collector(apart: list[memoryview] | None) -> Callable[[pickle.PickleBuffer], bool] | None:
    if apart is None:
        return None
    apart.clear()

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not in one piece
            return True
        if len(view) < LEAST_APART:
            return True
        apart.append(view)
        return False

    return is_in_band


def _is_loaded() -> bool:
    global _reduction
    if _reduction is None:
        _reduction = next(stdlib.loaded("reduction"), None)
    return _reduction is not None


def _dumps_as_registered(value: object, apart: list[memoryview] | None) -> memoryview:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, PROTOCOL, buffer_callback=_collector(apart))
    pickler.dispatch_table = {**copyreg.dispatch_table, **_registered()}
    pickler.dump(value)
    return buffer.getbuffer()


def _dumps_otherwise(value: object, apart: list[memoryview] | None) -> memoryview:
    global _reduction
    if _reduction is None:
        _reduction = stdlib.borrow("reduction")
        with contextlib.suppress(Exception):  # by value, then
            return _dumps_as_registered(value, apart)
    import cloudpickle

    table = {**cloudpickle.Pickler.dispatch_table, **_registered()}
    # The table is read when a pickler is made, and from its class.
    kind = type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table})
    buffer = io.BytesIO()
    kind(buffer, PROTOCOL, buffer_callback=_collector(apart)).dump(value)
    return buffer.getbuffer()


def _registered() -> Mapping[type, Callable[[Any], Any]]:
    table: Mapping[type, Callable[[Any], Any]] = _reduction.ForkingPickler._extra_reducers
    return table
