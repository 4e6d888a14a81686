"""Large messages between members of one family: they go in the shared arena, not over the wire.

The sender copies what is large into a piece of memory there, once, and over the wire goes only its
name. The receiver reads it where it is: arrays that it unpickles lie in that memory, which is given
back with the last of them.

Who is slow must not have all memory fill up: of what one end has sent so, no more than ``MOST``
bytes wait to be received; then the sender waits, too, as it would for room in a pipe. The same
holds where all blocks of the family have as many bytes as the budget allows. It waits for some
progress, that is; a receiver that was killed with a message in its hands will never make any.
After ``PATIENCE`` messages go over the wire again.
"""

from __future__ import annotations

import contextlib
import io
import select
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from procession import _core
from procession._transport import pickling
from procession.errors.memory import ArenaFull

LEAST = 256 << 10
"""Bytes. A shorter pickle, or message of bytes, goes over the wire: it is not slower."""

MOST = 128 << 20
"""Bytes that may wait to be received, before another message is added. A longer message without
buffers goes over the wire, too: new pages for it take as long."""

LONGEST = 1024
"""Bytes that may come over the wire and tell where a message is."""

PATIENCE = 1.0
"""Seconds without progress after which the wire is used."""

_STEP_MS = 1
_SURELY_READ = 8 << 20  # bytes: when so many have gone over the wire, what went before was read

_name = struct.Struct("=8QI")  # what Memory._travel() told; whether it is pieces of a pickle

Buffers = Sequence[bytes | memoryview]
_T = TypeVar("_T")


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

    def unsent(self, pickle: Callable[..., _T], *args: Any) -> _T:
        """A call that pickles what is going to be sending(): a death before leaves none of it."""
        return pickle(*args) if self._way is None else _core.call_unsent(pickle, *args)

    def sending(self, pins: int) -> None:
        """What was pickled since is about to be on its way; it can still be withdrawn."""
        if self._way is not None:
            self._way._entrust(pins)


class Loan:
    """A message that was copied into the arena.

    Args:
        parts: what it holds: the pieces of a pickle (see ``pickling``), or one buffer.
        is_apart: which of the two.

    Raises:
        ArenaFull: over the budget at this moment, or at any.
        MemoryError: the arena can not grow.
        OSError, RuntimeError: this process has no arena (any more).
    """

    def __init__(self, parts: Buffers, is_apart: bool) -> None:
        self.memory = _core.Memory.holding(parts, wait=False)
        self._is_apart = is_apart

    def travel(self) -> bytes:
        """What goes over the wire. From now on it waits to be received."""
        self.name = self.memory._travel()
        return _name.pack(*self.name, self._is_apart)


class Lender:
    """What one end has lent that nobody has received yet."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._waiting: deque[tuple[tuple[int, ...], int]] = deque()  # names and sizes
        self._size = 0  # of them together
        self._is_stuck = False
        self._over_the_wire = 0  # bytes, since then
        self._found_full: object = None  # the arena, when it had no room for too long

    def lend(self, fd: int, body: bytes | memoryview) -> Loan | None:
        """A message of bytes for the other side; None if it has to go over the wire.

        Raises:
            MemoryError: the system has no memory for it.
        """
        return self._lend(fd, (body,), False) if LEAST <= len(body) <= MOST else None

    def lend_apart(self, fd: int, pieces: Buffers) -> Loan | None:
        """The same for the pieces of a pickle.

        Raises:
            ArenaFull: it is larger than the budget for all that processes share.
            MemoryError: the system has no memory for it.
        """
        return self._lend(fd, pieces, True)

    def _lend(self, fd: int, parts: Buffers, is_apart: bool) -> Loan | None:
        if not self.family.lends:
            return None
        loans: list[Loan] = []
        try:
            if self._await_room(fd):
                self._await_budget(fd, lambda: loans.append(Loan(parts, is_apart)))
        except (OSError, RuntimeError):  # no arena any more
            pass
        if loans:
            return loans[0]
        self._over_the_wire += sum(map(len, parts))
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
        if self._is_stuck and not self._has_room():
            return False
        if self._await(fd, self._has_room, lambda: len(self._waiting)):
            return True
        self._is_stuck = True
        self._over_the_wire = 0
        return False

    def _await_budget(self, fd: int, lend: Callable[[], object]) -> None:
        """Try until it is lent, as long as blocks are freed."""
        tried: object = self._found_full

        def is_lent() -> bool:
            nonlocal tried
            before, tried = tried, _arena()
            if tried == before:
                return False
            try:
                lend()
            except ArenaFull as error:
                if 4 * error.needed > 3 * error.budget:  # more than may ever be on its way
                    raise
                return False
            return True

        if is_lent() or (tried != self._found_full and self._await(fd, is_lent, _arena)):
            self._found_full = None
        else:
            self._found_full = tried

    def _await(self, fd: int, is_there: Callable[[], bool], progress: Callable[[], object]) -> bool:
        """Wait as long as there is progress; false if there was none for too long.

        If the other side is gone it does not wait either: sending tells.
        """
        if is_there():
            return True
        watch = select.poll()
        watch.register(fd, 0)
        seen, deadline = progress(), time.monotonic() + PATIENCE
        while not watch.poll(_STEP_MS) and not is_there():
            if (now := progress()) != seen:
                seen, deadline = now, time.monotonic() + PATIENCE
            elif time.monotonic() >= deadline:
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
            *name, is_apart = _name.unpack(wire)
            self._memory: _core.Memory = _core.arrive(_core.Memory, tuple(name))
        except (RuntimeError, ValueError, LookupError, struct.error) as error:
            raise OSError(
                "a message was received that is not to be had from the shared memory that it was "
                "sent in: use both ends of a pipe in processes that were started from one another "
                "by this package; for others there are Listener and Client"
            ) from error
        self._around = pickling.around(self._memory.size) if is_apart else (b"", b"")

    def load(self) -> Any:
        """The object; its arrays lie in the arena, unless that is crowded."""
        if not self._around[0]:
            return pickling.loads(self._memory)
        return pickling.loads_apart(bytearray(self._memory) if _is_crowded() else self._memory)

    def __len__(self) -> int:
        head, tail = self._around
        return len(head) + self._memory.size + len(tail)

    def __bytes__(self) -> bytes:
        head, tail = self._around
        content = self._memory.read(0, self._memory.size)
        return b"".join((head, content, tail)) if head else content

    def copy_to(self, room: memoryview) -> int | bytes:
        """Fill a buffer, from its begin; its own length, or itself if that does not suffice."""
        size = len(self)
        if size > len(room):
            return bytes(self)
        head, tail = self._around
        begin, end = len(head), size - len(tail)
        self._memory.read_into(0, room[begin:end])
        # As bytes, whatever the buffer's items are called.
        io.BytesIO(head).readinto(room[:begin])
        io.BytesIO(tail).readinto(room[end:size])
        return size


def drop(wire: bytearray) -> None:
    """Nobody is going to have the message of which this has come over the wire."""
    with contextlib.suppress(struct.error):
        *name, _ = _name.unpack_from(wire)
        _drop(tuple(name))


def _drop(name: tuple[int, ...]) -> None:
    with contextlib.suppress(Exception):  # it has ended, or arrived
        _core.arrive(_core.Memory, name)


def _arena() -> tuple[int, int]:
    """What is another once there may be more room in it."""
    now = _core.arena_statistics()
    return now["freed"], now["budget"]


def _is_crowded() -> bool:
    """Whether what is kept of it for long would be missed."""
    now = _core.arena_statistics()
    return 2 * (now["paged"] - now["warm_free"]) > now["budget"] > 0
