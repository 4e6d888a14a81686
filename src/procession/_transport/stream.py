"""One message on a descriptor: a header that tells its length, then its bytes.

The standard library's format: four bytes, a signed number, most significant byte first; for more
than 2 GiB it is -1, and eight bytes with the length follow. One number more is ours, where both
sides are (see ``lending``): -2, eight bytes with a length, and so many that tell where the message
is.

Whoever calls gives a list, which gets what a step has moved in one go with moving it. So also when
a signal handler raises, which it may do between any two instructions, it is known whether a message
has begun.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import os
import select
import struct
import time
from collections.abc import Sequence
from typing import NoReturn

LONGEST_SHORT = 0x7FFFFFFF
"""Bytes. The header of a longer message is the long one."""

Message = bytes | memoryview | list[bytes | memoryview]
"""The bytes of a message, in one piece or in several."""

LENT = -2
"""What receive_size() returns if the message itself is elsewhere."""

_JOINED = 16 << 10  # bytes: up to here a copy costs less than a second buffer for the kernel
_AT_ONCE = 64 << 10  # bytes: up to here memory is taken because a header says so
_FIRST_ROOM = 1 << 20
_MOST_PIECES = 512  # that the kernel is given at once; it takes 1,024

_short = struct.Struct("!i")
_long = struct.Struct("!iQ")
_long_rest = struct.Struct("!Q")


def length(message: Message, lent: bool = False) -> int:
    """In bytes, of a message with its header."""
    size = sum(map(len, message)) if isinstance(message, list) else len(message)
    return size + (_long.size if lent or size > LONGEST_SHORT else _short.size)


def send(fd: int, body: Message, sent: list[int], lent: bool = False) -> None:
    """Write one message.

    Args:
        fd: where to; it may be a pipe or a socket.
        body: bytes, in one piece or in several.
        sent: gets the number of bytes that each step has written, the header's included.
        lent: whether these bytes only tell where the message is.

    Raises:
        OSError: the other side is gone (BrokenPipeError, ConnectionResetError), or worse.
    """
    if isinstance(body, list):
        _send_pieces(fd, body, sent)
        return
    size = len(body)
    if lent:
        header = _long.pack(LENT, size)
    else:
        header = _short.pack(size) if size <= LONGEST_SHORT else _long.pack(-1, size)
    whole = len(header) + size
    if size <= _JOINED:
        sent.extend(map(os.write, (fd,), (header + body,)))
    while (done := sum(sent)) < whole:
        sent[:] = [done]
        begun = done - len(header)
        rest = (header[done:], body) if begun < 0 else (memoryview(body)[begun:],)
        try:
            sent.extend(map(os.writev, (fd,), (rest,)))
        except BlockingIOError:  # whoever shares it has made it so
            if not done:
                raise
            _await(fd, select.POLLOUT, None)


def _send_pieces(fd: int, pieces: Sequence[bytes | memoryview], sent: list[int]) -> None:
    size = sum(map(len, pieces))
    header = _short.pack(size) if size <= LONGEST_SHORT else _long.pack(-1, size)
    ends = [*itertools.accumulate(map(len, (header, *pieces)))]
    while (done := sum(sent)) < ends[-1]:
        sent[:] = [done]
        first = bisect.bisect_right(ends, done)
        rest = [memoryview(piece) for piece in (header, *pieces)[first : first + _MOST_PIECES]]
        rest[0] = rest[0][len(rest[0]) - (ends[first] - done) :]
        try:
            sent.extend(map(os.writev, (fd,), (rest,)))
        except BlockingIOError:
            if not done:
                raise
            _await(fd, select.POLLOUT, None)


def receive_size(fd: int, arrived: list[bytes], deadline: float | None = None) -> int:
    """Read a header.

    Args:
        fd: where from.
        arrived: gets the first piece of the header, and an empty one if the stream has ended.
        deadline: when to give up, by time.monotonic(); None: never.

    Returns:
        The length of the message, in bytes; or LENT. Whoever is out of step may send another
        negative one.

    Raises:
        EOFError: the other side has closed the stream, or ended.
        TimeoutError: the deadline has passed.
        OSError: the stream ended within the header, or is broken.
    """
    if deadline is not None:
        _await(fd, select.POLLIN, deadline)
    arrived.extend(map(os.read, (fd,), (_short.size,)))
    header = arrived[0]
    if len(header) != _short.size:
        if not header:
            raise EOFError
        header = _receive_rest(fd, header, _short.size, arrived, deadline)
    (size,) = _short.unpack(header)
    return receive_long_size(fd, arrived, deadline) if size == -1 else int(size)


def receive_long_size(fd: int, arrived: list[bytes], deadline: float | None = None) -> int:
    """Read the rest of a longer header. Arguments and errors as for receive()."""
    (size,) = _long_rest.unpack(_receive_rest(fd, b"", _long_rest.size, arrived, deadline))
    return int(size)


def receive(fd: int, size: int, arrived: list[bytes], deadline: float | None = None) -> bytes:
    """Read the `size` bytes of a message. Arguments and errors as for receive_size().

    Memory is taken as the bytes come, not because a header says so.
    """
    if size > _AT_ONCE:
        return _receive_long(fd, size, arrived, deadline)
    if not size:
        return b""
    begun = b""
    if deadline is None:
        # Whoever shares the descriptor may have made it one that does not block.
        with contextlib.suppress(BlockingIOError):
            begun = os.read(fd, size)
            if len(begun) == size:
                return begun
            if not begun:
                _end(arrived)
    return _receive_rest(fd, begun, size, arrived, deadline)


def receive_into(fd: int, room: memoryview, arrived: list[bytes]) -> None:
    """Read the bytes of a message to where they belong. Errors as for receive()."""
    got = 0
    while got < len(room):
        got += _readv(fd, room[got:], arrived, None)


def _receive_long(fd: int, size: int, arrived: list[bytes], deadline: float | None) -> bytes:
    # What BytesIO holds is a bytes object, so there is no second copy.
    store = io.BytesIO()
    got = room = 0
    while got < size:
        room = min(size, max(_FIRST_ROOM, 2 * room))
        store.seek(room - 1)
        store.write(b"\0")
        with store.getbuffer() as view:
            while got < room:
                with view[got:] as rest:  # else a traceback's frames hold on to the store
                    got += _readv(fd, rest, arrived, deadline)
    return store.getvalue()


def _receive_rest(
    fd: int, begun: bytes, size: int, arrived: list[bytes], deadline: float | None
) -> bytes:
    """The `size` bytes of which some have come."""
    whole = bytearray(size)
    got = len(begun)
    whole[:got] = begun
    with memoryview(whole) as view:
        while got < size:
            got += _readv(fd, view[got:], arrived, deadline)
    return bytes(whole)


def _readv(fd: int, room: memoryview, arrived: list[bytes], deadline: float | None) -> int:
    while True:
        if deadline is not None:
            _await(fd, select.POLLIN, deadline)
        try:
            count = os.readv(fd, (room,))
        except BlockingIOError:
            _await(fd, select.POLLIN, deadline)
        else:
            return count or _end(arrived)


def _end(arrived: list[bytes]) -> NoReturn:
    arrived.append(b"")
    raise OSError("got end of file during message")


def _await(fd: int, event: int, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(fd, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise TimeoutError("the other side of a connection is silent")
