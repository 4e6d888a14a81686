"""A model of the arena: so many bytes for the arguments that are on their way, and no more.

Items have weights. What travels names its part of the arena, as a real payload does: a worker that
looks for one that is gone fails the test.
"""

from __future__ import annotations

import gc
import pickle
import struct
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from procession import _core
from procession._codec.buffers import Payload, TooLarge
from procession.errors.memory import ArenaFull

SHARE = 3 / 4  # of the budget, for arguments


class Item(int):
    """A number that is pickled like any object."""


class Part:
    """Some bytes of the arena: in use until it is dropped."""

    def __init__(self, arena: FakeArena, size: int) -> None:
        self.arena = arena
        self.size = size
        arena.in_use += size
        arena.highest = max(arena.highest, arena.in_use)

    def __del__(self) -> None:
        self.arena.in_use -= self.size
        self.arena.freed += 1


class FakeArena:
    """Room for `budget` bytes.

    Args:
        weights: bytes of the items, in turns.
        most: bytes of a piece of several items.

    Attributes:
        in_use, highest: bytes.
        freed: how many parts were given back.
        refused: how often there was no room.
        parts: those in use, by name.
    """

    def __init__(self, budget: int, weights: Sequence[int], most: int = 10**9) -> None:
        self.most = most
        self.budget = budget
        self.weights = weights
        self.in_use = self.highest = self.freed = self.refused = 0
        self.parts: WeakValueDictionary[int, Part] = WeakValueDictionary()
        self._last = 0

    def weight(self, item: int) -> int:
        """Bytes of an item."""
        return self.weights[item % len(self.weights)]

    def is_too_heavy(self, item: int) -> bool:
        """Whether an item has no room even if nothing else is there."""
        return self.weight(item) > self.budget * SHARE

    def dumps_task(self, value: Any, *, once: bool, most: int | None = None) -> bytes:
        """Pickle the items of a piece, or the one argument of a call."""
        items = value if not isinstance(value, tuple) else value[-2]
        size = sum(self.weight(item) for item in items if isinstance(item, int))
        if not size:
            return pickle.dumps(value)
        if most is not None and size > min(most, self.most):
            raise TooLarge(size)
        if self.in_use + size > self.budget * SHARE:
            self.refused += 1
            raise ArenaFull(size, self.budget, self.in_use, 0)
        self._last = name = self._last + 1
        part: Any = Part(self, size)
        self.parts[name] = part
        return Payload(pickle.dumps(("apart", name, value)), [part], size)

    def dumps_items(
        self,
        items: Any,
        *,
        once: bool,
        each: bool = False,
        most: int | None = None,
        call: object = None,
    ) -> bytes:
        """The items of a piece."""
        numbers = _core.pack_numbers(items) if type(items) is list else None
        return numbers or self.dumps_task(items, once=once, most=most)

    def opened(self, content: Any) -> tuple[Any, Part | None]:
        """What a worker finds in a payload, and its hold on the part that it names."""
        if type(content) is tuple and content[:1] == ("apart",):
            _, name, value = content
            return value, self.parts[name]
        return content, None

    def assert_empty(self) -> None:
        """All is given back."""
        gc.collect()
        assert self.in_use == 0


def in_one_piece(body: bytes, parts: list[memoryview]) -> bytearray:
    """A result that came with its buffers, as a crowded arena's collector hands it out."""
    whole = bytearray(struct.pack("=Q", len(body)) + body)
    for part in parts:
        whole += bytes(-len(whole) % 64) + part
    return whole
