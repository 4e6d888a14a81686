"""Arrays for tests: what is in them is known everywhere, and what is in use of the arena."""

from __future__ import annotations

import gc
import time
import zlib
from typing import Any

import numpy as np

from procession._core import arena_statistics, sweep, validate

LEAST_APART = 65_536

SIZES = [1, 4095, LEAST_APART - 1, LEAST_APART, LEAST_APART + 1, (1 << 20) + 7, 64 << 20]
"""Bytes."""

Array = np.ndarray[Any, np.dtype[Any]]


def made(size: int, seed: int = 1) -> Array:
    """An array of so many bytes, which differ from place to place and from seed to seed."""
    pattern = np.arange(251, dtype=np.uint8) * np.uint8(2 * seed % 251 + 1)
    return np.resize(pattern + np.uint8(seed), size)


def inverted(array: Array, factor: int = 1) -> Array:
    """All bits of it turned, in place; whoever may not write here raises."""
    assert array.flags.writeable
    np.bitwise_not(array, out=array)
    return array


def inverted_first(array: Array) -> int:
    """Turns it in place as well; gives its first byte and its sum."""
    return int(inverted(array)[0])


def checksum(array: Any) -> int:
    """Of its bytes."""
    return zlib.crc32(memoryview(array).cast("B"))


def checked_copy(array: Array, expected: int) -> tuple[int, Array]:
    """The sum of what arrived, and the array."""
    found = checksum(array)
    assert found == expected
    return found, array


def in_use() -> int:
    """Bytes of the arena's blocks that somebody has."""
    return int(arena_statistics()["block_bytes"])


def given_back(before: int, slack: int = 200_000) -> None:
    """Wait until no more bytes are in use than before; the test's watchdog bounds that.

    Args:
        slack: bytes for a worker that came late to its seat, and for what was published.
    """
    while True:
        gc.collect()
        sweep()
        if in_use() <= before + slack:
            break
        time.sleep(0.01)
    assert validate() is None
