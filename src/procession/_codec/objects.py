"""Arguments and results as bytes: plain pickle first, cloudpickle where that fails.

Plain pickle costs a third of a microsecond for small arguments, cloudpickle several;
lambdas, closures and what lives in a notebook cell are worth that, integers are not.

The items of a chunk have a form of their own: a list of nothing but integers, or nothing but
floats, goes as machine words.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from procession import _core

PROTOCOL = 5

_PICKLE_MARK = pickle.PROTO[0]
"""The first byte of every pickle; no list of numbers begins with it."""

loads = pickle.loads


def dumps(value: object) -> bytes:
    """``value`` as bytes.

    Raises:
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    pins = _core.pins_made()
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception as plain_error:
        _core.withdraw_pins(pins)
        try:
            return dumps_by_value(value)
        except Exception:
            _core.withdraw_pins(pins)
            # Of the two errors the plain one speaks of the user's object.
            raise plain_error from None


def dumps_by_value(value: object) -> bytes:
    """``value`` as bytes, with what lives in ``__main__`` or has no importable name inside."""
    import cloudpickle

    blob: bytes = cloudpickle.dumps(value, protocol=PROTOCOL)
    return blob


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
