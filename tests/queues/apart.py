"""Objects whose buffers travel beside their pickle, for queues that know no others."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

from procession._core.binding import Queue
from procession._transport.pickling import dumps, dumps_answer, loads_apart
from tests.worker.apart import opened


class Parcel:
    """An object that has buffers."""

    def __init__(self, *buffers: Any, note: Any = None) -> None:
        self.buffers = buffers
        self.note = note

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parcel):
            return NotImplemented
        return self.note == other.note and [*map(bytes, self.buffers)] == [
            *map(bytes, other.buffers)
        ]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.note!r}: {[len(buffer) for buffer in self.buffers]} bytes>"


def dumps_parcel(value: Any) -> Any:
    """As a codec would."""
    if type(value) is not Parcel:
        return dumps(value)
    sizes = [memoryview(buffer).nbytes for buffer in value.buffers]
    return pickle.dumps((sizes, value.note)), list(value.buffers)


def loads_parcel(payload: Any) -> Any:
    """And back, on the payload itself."""
    view = memoryview(payload)
    sizes, note = pickle.loads(view[8 : 8 + int.from_bytes(view[:8], "little")])
    if note == "bad":
        raise ValueError("a bad parcel")
    return Parcel(*opened(payload, sizes)[1], note=note)


@contextlib.contextmanager
def parcels(dumps: Any = dumps_parcel) -> Iterator[None]:
    """Meanwhile queues can carry parcels."""
    Queue._pickle_with(dumps)
    Queue._unpickle_apart_with(loads_parcel)
    try:
        yield
    finally:
        Queue._pickle_with(dumps_answer)
        Queue._unpickle_apart_with(loads_apart)
