"""Large messages between members of one family: they go in the shared arena, not over the wire.

The sender copies what is large into a piece of memory there, once, and over the wire goes only its
name, with the rest of the pickle. The receiver reads it where it is: arrays that it unpickles lie
in that memory, which is given back with the last of them.

Who is slow must not have all memory fill up: of what one end has sent so, no more than ``MOST``
bytes wait to be received; then the sender waits, too, as it would for room in a pipe. It waits for
some progress, that is; a receiver that was killed with a message in its hands will never make any.
After ``PATIENCE`` messages go over the wire again.
"""

from __future__ import annotations

import contextlib
import io
import select
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from procession import _core
from procession._transport import pickling

LEAST = 256 << 10
"""Bytes. A shorter pickle, or message of bytes, goes over the wire: it is not slower."""

MOST = 128 << 20
"""Bytes that may wait to be received, before another message is added. A longer message without
buffers goes over the wire, too: new pages for it take as long."""

LONGEST = 1 << 30
"""Bytes that may come over the wire and tell where a message is."""

PATIENCE = 1.0
"""Seconds without progress after which the wire is used."""

_STEP_MS = 1
_SURELY_READ = 8 << 20  # bytes: when so many have gone over the wire, what went before was read
_ALIGNMENT = 64  # of Memory.holding()

_name = struct.Struct("=8QI")  # what Memory._travel() told; how many parts it has
_part = struct.Struct("=Q")  # twice its length; one more if it is not to be written


class Family:
    """What both ends of a pipe know: that they were made in one family of processes.

    Args:
        way: an object that lives as long as anybody has an end of the pipe: what was sent, and can
            not be received any more, goes with it. None for strangers.

    Attributes:
        lends: whether messages may go this way; false once an end was given to a stranger.
    """

    def __init__(self, way: _core.Memory | None) -> None:
        self._way = way
        self.lends = way is not None

    @classmethod
    def here(cls) -> Family | None:
        """This process's, for a new pipe; None if it can not have one."""
        try:
            return cls(_core.Memory(1))
        except (MemoryError, OSError, RuntimeError):
            return None

    def travel(self) -> tuple[int, ...]:
        """What is pickled of it, with an end; empty if that does not lend any more."""
        return self._way._travel() if self._way is not None and self.lends else ()

    @classmethod
    def again(cls, travelled: tuple[int, ...]) -> Family:
        """One that has come with a pickled end; strangers lend nothing."""
        way = None
        if travelled:
            with contextlib.suppress(MemoryError, OSError, RuntimeError):
                way = _core.arrive(_core.Memory, travelled)
        return cls(way)

    def sent(self, pins: int) -> None:
        """What was pickled since is on its way."""
        if self._way is not None:
            self._way._entrust(pins)


class Loan:
    """A message that was copied into the arena.

    Args:
        body: a pickle, or bytes.
        apart: the buffers that are not in the pickle.

    Raises:
        MemoryError: the arena can not grow.
        OSError, RuntimeError: this process has no arena (any more).
    """

    def __init__(self, body: bytes | memoryview, apart: Sequence[memoryview]) -> None:
        parts = [*apart]
        if len(body) >= LEAST:
            parts.insert(0, memoryview(body))
            body = b""
        self.memory = _core.Memory.holding(parts)
        self._rest = bytes(body)
        self._parts = [2 * len(part) + part.readonly for part in parts]

    def travel(self) -> bytes:
        """What goes over the wire. From now on it waits to be received."""
        self.name = self.memory._travel()
        parts = b"".join(map(_part.pack, self._parts))
        return _name.pack(*self.name, len(self._parts)) + parts + self._rest


class Lender:
    """What one end has lent that nobody has received yet."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._waiting: deque[tuple[tuple[int, ...], int]] = deque()  # names and sizes
        self._size = 0  # of them together
        self._is_stuck = False
        self._over_the_wire = 0  # bytes, since then

    def lend(
        self, fd: int, body: bytes | memoryview, apart: Sequence[memoryview] = ()
    ) -> Loan | None:
        """A message for the other side; None if it has to go over the wire.

        Raises:
            MemoryError: the arena can not grow.
        """
        if not self.family.lends or not (apart or LEAST <= len(body) <= MOST):
            return None
        if not self._await_room(fd):
            self._over_the_wire += len(body) + sum(map(len, apart))
            return None
        try:
            return Loan(body, apart)
        except (OSError, RuntimeError):  # no arena any more
            return None

    def lent(self, loan: Loan) -> None:
        """It was sent."""
        self._size += loan.memory.size
        self._waiting.append((loan.name, loan.memory.size))

    def withdraw(self) -> None:
        """The other side is gone, and will not receive what waits."""
        while self._waiting:
            _drop(self._waiting[0][0])
            self._forget(1)

    def _await_room(self, fd: int) -> bool:
        if self._has_room():
            return True
        if self._is_stuck:
            return False
        watch = select.poll()
        watch.register(fd, 0)
        left, deadline = len(self._waiting), time.monotonic() + PATIENCE
        # If the other side is gone, sending tells.
        while not watch.poll(_STEP_MS) and not self._has_room():
            if len(self._waiting) < left:
                left, deadline = len(self._waiting), time.monotonic() + PATIENCE
            elif time.monotonic() >= deadline:
                self._is_stuck = True
                self._over_the_wire = 0
                return False
        return True

    def _has_room(self) -> bool:
        if self._is_stuck and self._over_the_wire > _SURELY_READ:
            self._forget(len(self._waiting))  # they are with somebody, or lost
        while self._waiting and self._has_arrived(0):
            self._forget(1)
        if self._size >= MOST:
            # Who has received one has read what went before it, and may have died with that.
            last = next(filter(self._has_arrived, reversed(range(len(self._waiting)))), -1)
            self._forget(last + 1)
        return self._size < MOST

    def _has_arrived(self, place: int) -> bool:
        name, _ = self._waiting[place]
        return not _core.Memory.is_on_its_way(*name[:3])

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._size -= self._waiting.popleft()[1]
            self._is_stuck = False


class Received:
    """A message that has come in the arena.

    Args:
        wire: what came over the wire.

    Raises:
        OSError: it is not to be had: it came from another family, or is none at all.
        MemoryError: the arena can not grow.
    """

    def __init__(self, wire: bytearray) -> None:
        try:
            *name, count = _name.unpack_from(wire)
            begin = _name.size + count * _part.size
            parts = [number for (number,) in _part.iter_unpack(wire[_name.size : begin])]
            self._memory: _core.Memory = _core.arrive(_core.Memory, tuple(name))
            views = _views(self._memory, parts)
            self._rest = bytes(wire[begin:])
            self._first = None if self._rest else views.pop(0)
        except (RuntimeError, ValueError, LookupError, struct.error) as error:
            raise OSError(
                "a message was received that is not to be had from the shared memory that it was "
                "sent in: use both ends of a pipe in processes that were started from one another "
                "by this package; for others there are Listener and Client"
            ) from error
        self._apart = views

    def load(self) -> Any:
        """The object; its arrays lie in the arena."""
        pickled = self._rest if self._first is None else self._first
        return pickling.loads(pickled, buffers=self._apart)

    def __len__(self) -> int:
        if self._apart:
            self._put_together()
        return len(self._rest) if self._first is None else len(self._first)

    def __bytes__(self) -> bytes:
        if self._apart:
            self._put_together()
        return self._rest if self._first is None else self._memory.read(0, len(self._first))

    def copy_to(self, room: memoryview) -> int | bytes:
        """Fill a buffer, from its begin; its own length, or itself if that does not suffice."""
        size = len(self)
        if size > len(room):
            return bytes(self)
        if self._first is None:
            io.BytesIO(self._rest).readinto(room)
        else:
            self._memory.read_into(0, room[:size])
        return size

    def _put_together(self) -> None:
        # Who wants the bytes of an object gets a pickle that has all in it.
        pickled = self._rest if self._first is None else self._first
        self._rest = pickling.together(pickled, self._apart)
        self._first, self._apart = None, []


def _views(memory: _core.Memory, parts: Sequence[int]) -> list[memoryview]:
    whole = memoryview(memory)
    views = []
    begin = 0
    for part in parts:
        begin += -begin % _ALIGNMENT
        end = begin + part // 2
        if end > len(whole):
            raise ValueError("no such part")
        view = whole[begin:end]
        views.append(view.toreadonly() if part % 2 else view)
        begin = end
    return views


def drop(wire: bytearray) -> None:
    """Nobody is going to have the message of which this has come over the wire."""
    with contextlib.suppress(struct.error):
        *name, _ = _name.unpack_from(wire)
        _drop(tuple(name))


def _drop(name: tuple[int, ...]) -> None:
    with contextlib.suppress(Exception):  # it has ended, or arrived
        _core.arrive(_core.Memory, name)
