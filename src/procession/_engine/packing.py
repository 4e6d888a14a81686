"""Arguments as payloads: a pickle, and its large buffers beside it in the arena.

There is room for so many bytes in the arena and no more. Who submits one task waits until there is
room for its arguments, and collects meanwhile, for what was answered makes room. A call over many
items goes on without its next piece, and cuts it later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from procession import _core
from procession._codec.buffers import (
    Payload,
    dumps_items,
    dumps_task,
    pickled_at_once,
    size_of,
)
from procession._engine.preparing import STEP, wait_for_news
from procession.errors.memory import ArenaFull

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.entries import Record
    from procession._engine.options import Options

_T = TypeVar("_T")

PATIENCE = 10.0
"""Seconds in which no memory was given back and nothing of the pool was under way: so long somebody
waits who finds no room, as everywhere."""


_SHARE = 3 / 4
"""Of the budget: arguments get no more, so that there is room for the results that free them."""


class Shortage:
    """Tells how long to wait for room. Pure: it is told the time, and what has happened."""

    __slots__ = ("_freed", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._freed = -1

    def is_worth_waiting(self, now: float, freed: int, *, under_way: bool) -> bool:
        """Whether there may be room later.

        Args:
            now: seconds.
            freed: how many blocks were ever freed in the arena.
            under_way: whether something was submitted whose answer makes room.
        """
        if under_way or freed != self._freed:
            self._since, self._freed = now, freed
        return now - self._since < PATIENCE


class Packer:
    """Makes the payloads of one engine. Runs code of the user's (pickling).

    Args:
        dumps, dumps_items: ``dumps_task`` and its like for the items of a piece.
        freed: how many blocks of the arena were freed so far.
    """

    at_once = staticmethod(pickled_at_once)

    def __init__(
        self,
        engine: Engine,
        dumps: Callable[..., bytes] = dumps_task,
        dumps_items: Callable[..., bytes] = dumps_items,
        freed: Callable[[], int] = lambda: _core.arena_statistics()["freed"],
    ) -> None:
        self._engine = engine
        self._dumps = dumps
        self._dumps_items = dumps_items
        self._freed = freed

    def pack(self, value: Any, options: Options) -> bytes:
        """The arguments of one task.

        Raises:
            ArenaFull: there is no room for them, and none comes.
            ValueError: the pool came to its end meanwhile.
            Exception: whatever pickling raises.
        """
        return self._made(partial(self._dumps, value, once=options.is_run_once))

    def pack_apart(self, value: Any, options: Options) -> bytes:
        """The same, where it is known that there is something large in them."""
        return self._made(partial(dumps_task, value, once=options.is_run_once, look=False))

    def _made(self, make: Callable[[], bytes]) -> bytes:
        try:
            return make()
        except ArenaFull as full:
            return self._patiently(make, full)

    def send(self, record: Record) -> bool:
        """Put a record into the ring, as ``Sender.send``; waits for room in the arena."""
        try:
            return self._engine.send(record)
        except ArenaFull as full:
            return self._patiently(partial(self._engine.send, record), full)

    def _patiently(self, do: Callable[[], _T], full: ArenaFull) -> _T:
        """Do once more what found no room, until it does."""
        engine, shortage = self._engine, Shortage()
        try:
            while self.is_worth_waiting(shortage, full):
                wait_for_news(engine, STEP)
                if not engine.is_running():
                    engine.refuse()
                try:
                    return do()
                except ArenaFull as again:
                    full = again
            raise full
        finally:
            del full  # its traceback has this frame: a circle, with all that our callers hold

    def pack_items(
        self, items: Sequence[Any], options: Options, most: int | None, call: object, *, each: bool
    ) -> bytes:
        """The items of a piece; does not wait. See ``dumps_items``.

        Raises:
            ArenaFull: there is no room for them now.
            TooLarge: more than `most` bytes would have to be copied.
            Exception: whatever pickling raises.
        """
        once = len(items) == 1 and options.is_run_once
        return self._dumps_items(items, once=once, each=each, most=most, call=call)

    def is_worth_waiting(self, shortage: Shortage, full: ArenaFull) -> bool:
        """Whether there may be room later for what there is none now; makes some, if it can."""
        if is_hopeless(full):
            return False
        engine = self._engine
        engine.functions.make_room()
        under_way = bool(engine.open or engine.feeder.records or engine.arrivals)
        return shortage.is_worth_waiting(monotonic(), self._freed(), under_way=under_way)


def is_hopeless(full: ArenaFull) -> bool:
    """Whether it would not even fit if nothing else was there."""
    return bool(full.budget) and full.needed > full.budget * _SHARE


def emptied(payload: bytes) -> bytes:
    """What is kept of a payload whose bytes lie in a block by now."""
    return Payload(b"", getattr(payload, "kept", ()), size_of(payload))


def filled(payload: bytes, content: bytes) -> bytes:
    """What ``emptied`` was given; `content` are the bytes."""
    if isinstance(payload, Payload) and payload.kept:
        return Payload(content, payload.kept, payload.size)
    return content
