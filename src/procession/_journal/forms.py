"""What is recorded of a value, and what is delivered of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from procession import _core
from procession._codec.objects import dumps, loads


class Form(NamedTuple):
    """A way to record values.

    Attributes:
        name: stands in the journal.
        encode: the bytes to be recorded, and what is delivered of a value that was not before.
        decode: what is delivered of recorded bytes.
    """

    name: str
    encode: Callable[[Any], tuple[bytes, Any]]
    decode: Callable[[bytes], Any]


def _encode_pickle(value: Any) -> tuple[bytes, Any]:
    pins = _core.pins_made()
    content = dumps(value)
    if _core.pins_made() != pins:
        _core.withdraw_pins(pins)
        raise TypeError(
            "this result can not be recorded in a journal: it holds an object in shared memory (a "
            "lock, a queue, a value), which ends with this run; return plain data"
        )
    return content, value


def _encode_json(value: Any) -> tuple[bytes, Any]:
    try:
        text = json_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"JSON can not say this result ({error}); return strings, finite numbers, booleans, "
            "None, and lists and dicts of them"
        ) from None
    return text.encode(), text


def json_text(value: Any) -> str:
    """A value as one line of JSON that can be encoded.

    Raises:
        TypeError, ValueError: JSON has nothing of the kind.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        text.encode()
    except UnicodeEncodeError:  # halves of characters, as file names may have them
        text = json.dumps(value, allow_nan=False, default=_plain)
    return text


def _plain(value: Any) -> Any:
    """What JSON can say of numpy's numbers and arrays, and of what is like them."""
    as_list = getattr(value, "tolist", None)
    if as_list is None or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is nothing that JSON has")
    return as_list()


PICKLE = Form("pickle", _encode_pickle, loads)
"""Any object that pickle takes; for calls from Python."""

JSON = Form("json", _encode_json, bytes.decode)
"""A line of JSON, delivered as the text that it is."""
