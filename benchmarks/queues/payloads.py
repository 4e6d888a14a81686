"""What is sent, and how it is checked without costing much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat

BYTES = 64 << 10
_PATTERN = bytes(range(256)) * (BYTES // 256)


def ints(number: int, share: int) -> Iterable[int]:
    """The producer's own integers: no two producers send the same."""
    return range(number * share, (number + 1) * share)


def blocks(number: int, share: int) -> Iterable[bytes]:
    """The same 64 KiB again and again; the first byte is the producer's number."""
    return repeat(bytes([number]) + _PATTERN[1:], share)


def lengths(received: Iterator[bytes]) -> int:
    """How many bytes there were, and whose: the first byte of each counts, too."""
    return sum(len(block) + block[0] for block in received)
