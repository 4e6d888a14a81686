"""What is sent through a connection, as bytes: the codec's pickles, as they stand on the wire.

A pickle whose large buffers are apart is pieces: the pickle, then each buffer, every one beginning
on a multiple of ``ALIGNMENT`` bytes behind the first. So they lie in shared memory, and so
``loads_apart`` wants them. On the wire, or as bytes for somebody who asks for these, they are one
ordinary pickle of a call of that function.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from procession._codec.buffers import dumps_answer, loads_apart
from procession._codec.objects import dumps

__all__ = [
    "ALIGNMENT",
    "around",
    "dumps",
    "dumps_answer",
    "in_one",
    "loads",
    "loads_apart",
    "pieces",
]

loads = pickle.loads

ALIGNMENT = 64
"""Bytes, of each piece; that of ``Memory.holding()``."""

_HEAD = b"".join(
    (
        pickle.PROTO + b"\5",
        pickle.GLOBAL + f"{loads_apart.__module__}\n{loads_apart.__name__}\n".encode(),
        pickle.BYTEARRAY8,
    )
)
_TAIL = pickle.TUPLE1 + pickle.REDUCE + pickle.STOP


def pieces(body: bytes, parts: Sequence[memoryview]) -> list[bytes | memoryview]:
    """What ``dumps_answer`` gave, as it is laid out."""
    return [len(body).to_bytes(8, "little") + body, *parts]


def around(size: int) -> tuple[bytes, bytes]:
    """What makes a pickle of pieces of `size` bytes: what comes before them, and behind."""
    return _HEAD + size.to_bytes(8, "little"), _TAIL


def in_one(laid_out: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """The pieces as one pickle, which is these bytes one behind the other; nothing is copied."""
    filled: list[bytes | memoryview] = []
    size = 0
    for piece in laid_out:
        gap = -size % ALIGNMENT
        if gap:
            filled.append(bytes(gap))
        filled.append(piece)
        size += gap + len(piece)
    head, tail = around(size)
    return [head, *filled, tail]
