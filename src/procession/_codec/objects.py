"""Arguments and results as bytes: plain pickle first, cloudpickle where that fails.

Plain pickle costs a third of a microsecond for small arguments, cloudpickle several;
lambdas, closures and what lives in a notebook cell are worth that, integers are not.
"""

from __future__ import annotations

import pickle
from typing import Any

PROTOCOL = 5

loads = pickle.loads


def dumps(value: object) -> bytes:
    """``value`` as bytes.

    Raises:
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception as plain_error:
        try:
            return dumps_by_value(value)
        except Exception:
            # Of the two errors the plain one speaks of the user's object.
            raise plain_error from None


def dumps_by_value(value: object) -> bytes:
    """``value`` as bytes, with what lives in ``__main__`` or has no importable name inside."""
    import cloudpickle

    blob: bytes = cloudpickle.dumps(value, protocol=PROTOCOL)
    return blob


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
