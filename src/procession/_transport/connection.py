"""One end of a stream of messages, with the standard library's methods and errors.

A message is whole or not at all. What would leave the two sides out of step (a signal handler that
raises in the midst of a message, a length that is not accepted) ends that direction for both: the
other side finds the end of the stream, not half a message and then another.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from types import TracebackType
from typing import Any, Protocol, Self, SupportsIndex

from procession import _core
from procession._launch import handle, parcel, stdlib
from procession._transport import lending, pickling, stream
from procession.errors import AuthenticationError, BufferTooShort


class Connection:
    """An end of a pipe or socket, through which objects and bytes are sent as messages.

    Only one thread at a time may send, and one receive. Its descriptor is closed with the object.
    It can itself be an argument of a process or a task, and be sent through another connection:
    the receiver gets a descriptor of its own.

    Args:
        handle: a descriptor, which belongs to the connection from now on.
        readable: whether messages can be received.
        writable: whether messages can be sent.

    Raises:
        ValueError: the descriptor is negative, or there is nothing that it could be used for.
    """

    _handle: int | None = None
    _lender: lending.Lender | None = None  # of an end of a pipe
    _why_not_open = "handle is closed"
    _why_not_readable = "connection is write-only"
    _why_not_writable = "connection is read-only"

    def __init__(self, handle: SupportsIndex, readable: bool = True, writable: bool = True) -> None:
        fd = handle.__index__()
        if fd < 0:
            raise ValueError("invalid handle")
        if not readable and not writable:
            raise ValueError("at least one of `readable` and `writable` must be True")
        self._handle = fd
        self._readable = readable
        self._writable = writable

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._handle is None

    @property
    def readable(self) -> bool:
        """Whether messages can be received."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether messages can be sent."""
        return self._writable

    def fileno(self) -> int:
        """The descriptor. Raises OSError after close()."""
        return self._open_handle()

    def close(self) -> None:
        """Close the descriptor. The other side finds the end, once no copy of it is open either."""
        fd, self._handle = self._handle, None
        self._lender = None
        if fd is not None:
            os.close(fd)

    def send(self, obj: object) -> None:
        """Send an object: pickled, or by value what plain pickle refuses.

        Raises:
            OSError: the connection is closed or read-only, or the other side is gone
                (BrokenPipeError, ConnectionResetError).
            ArenaFull: it is larger than all that the processes of this family may share (ends of
                a pipe); nothing was sent.
            MemoryError: there is no memory for a copy of its large buffers; nothing was sent.
            Exception: whatever pickling raised.
        """
        fd = self._handle_to_write()
        pins = _core.pins_made()
        try:
            if self._lender is None:
                message, loan = self._pickled(fd, obj)
            else:
                message, loan = self._lender.family.unsent(self._pickled, fd, obj)
        except BaseException:
            _core.withdraw_pins(pins)
            raise
        self._send(fd, message, loan, pins)

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None:
        """Send the bytes of a buffer as one message.

        Args:
            buf: bytes, an array, whatever has a buffer.
            offset: of the first byte to be sent.
            size: how many bytes; None: all from there on.

        Raises:
            ValueError: there are no such bytes in the buffer.
            OSError, MemoryError: as for send().
        """
        fd = self._handle_to_write()
        view = _flat(buf)
        length = len(view)
        if offset < 0:
            raise ValueError("offset is negative")
        if length < offset:
            raise ValueError("buffer length < offset")
        if size is None:
            size = length - offset
        elif size < 0:
            raise ValueError("size is negative")
        elif offset + size > length:
            raise ValueError("buffer length < offset + size")
        body = view[offset : offset + size]
        loan = None if self._lender is None else self._lender.lend(fd, body)
        self._send(fd, body, loan, _core.pins_made())

    def recv(self) -> Any:
        """Receive an object; waits for one. Unpickling can run any code: know who sends.

        Raises:
            EOFError: the other side is closed and everything was received.
            OSError: the connection is closed or write-only, or the stream is broken.
        """
        message = self._receive_any(self._handle_to_read())
        return pickling.loads(message) if isinstance(message, bytes) else message.load()

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Receive a message of bytes; waits for one.

        Args:
            maxlength: the longest accepted, in bytes. A longer one ends the receiving for good.

        Raises:
            ValueError: `maxlength` is negative.
            OSError: a message is longer; or as for recv().
            EOFError: as for recv().
        """
        fd = self._handle_to_read()
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        return self._receive(fd, maxlength)

    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int:
        """Receive a message of bytes into a buffer; waits for one. Returns its length, in bytes.

        Args:
            buf: a buffer that can be written: a bytearray, an array, a memoryview.
            offset: where in it the message shall begin, in bytes.

        Raises:
            BufferTooShort: the message, which is args[0], is longer than the room.
            ValueError: the offset is not within the buffer.
            TypeError: the buffer can not be written.
            EOFError, OSError: as for recv().
        """
        fd = self._handle_to_read()
        with _flat(buf) as view:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > len(view):
                raise ValueError("offset too large")
            if view.readonly:
                raise TypeError("a buffer that can be written is needed to receive into")
            with view[offset:] as room:
                found = self._receive_into(fd, room)
        if isinstance(found, bytes):
            raise BufferTooShort(found)
        return found

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether something can be received, or the end has come.

        Args:
            timeout: how long to wait for it, in seconds; None: without limit.

        Raises:
            OSError: the connection is closed or write-only.
        """
        return handle.await_readable(self._handle_to_read(), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_connection(self)

    def _open_handle(self) -> int:
        if self._handle is None:
            raise OSError(self._why_not_open)
        return self._handle

    def _handle_to_read(self) -> int:
        fd = self._open_handle()
        if not self._readable:
            raise OSError(self._why_not_readable)
        return fd

    def _handle_to_write(self) -> int:
        fd = self._open_handle()
        if not self._writable:
            raise OSError(self._why_not_writable)
        return fd

    def _pickled(self, fd: int, obj: object) -> tuple[stream.Message, lending.Loan | None]:
        lender = self._lender
        if lender is None or not lender.family.lends:
            return pickling.dumps(obj), None
        pickled = pickling.dumps_answer(obj)
        if isinstance(pickled, tuple):
            pieces = pickling.pieces(*pickled)
            loan = lender.lend_apart(fd, pieces)
            return pickling.in_one(pieces) if loan is None else b"", loan
        return pickled, lender.lend(fd, pickled) if len(pickled) >= lending.LEAST else None

    def _send(self, fd: int, message: stream.Message, loan: lending.Loan | None, pins: int) -> None:
        sent: list[int] = []
        whole = -1
        try:
            if self._lender is not None:
                if loan is not None:
                    message = self._lender.family.unsent(loan.travel)
                self._lender.family.sending(pins)
            whole = stream.length(message, loan is not None)
            stream.send(fd, message, sent, loan is not None)
            _core.forget_pins(pins)
            if self._lender is not None and loan is not None:
                self._lender.lent(loan)
        except BaseException as error:
            done = sum(sent)
            if done != whole:
                _core.withdraw_pins(pins)
            # Of the end of the other side the next message tells again.
            if isinstance(error, ConnectionError):
                if self._lender is not None:
                    self._lender.withdraw()
            elif done not in (0, whole):
                self._end_sending()
            raise

    def _receive(self, fd: int, most: int | None = None, deadline: float | None = None) -> bytes:
        message = self._receive_any(fd, most, deadline)
        if isinstance(message, lending.Received) and most is not None and len(message) > most:
            raise self._refused()
        return bytes(message)

    def _receive_any(
        self, fd: int, most: int | None = None, deadline: float | None = None
    ) -> bytes | lending.Received:
        arrived: list[bytes] = []
        try:
            size = stream.receive_size(fd, arrived, deadline)
            if 0 <= size <= (sys.maxsize if most is None else most):
                return stream.receive(fd, size, arrived, deadline)
            if size == stream.LENT and self._lender is not None:
                return self._receive_lent(fd, arrived)
        except BaseException as error:
            self._receiving_failed(arrived, error)
            raise
        raise self._refused()

    def _receive_into(self, fd: int, room: memoryview) -> int | bytes:
        """The length of the message; or the message itself, for which there is no room."""
        arrived: list[bytes] = []
        try:
            size = stream.receive_size(fd, arrived)
            if 0 <= size <= len(room):
                stream.receive_into(fd, room[:size], arrived)
                return size
            if 0 <= size <= sys.maxsize:
                return stream.receive(fd, size, arrived)
            if size == stream.LENT and self._lender is not None:
                return self._receive_lent(fd, arrived).copy_to(room)
        except BaseException as error:
            self._receiving_failed(arrived, error)
            raise
        raise self._refused()

    def _receive_lent(self, fd: int, arrived: list[bytes]) -> lending.Received:
        wire = bytearray()
        try:
            size = stream.receive_long_size(fd, arrived)
            if size <= lending.LONGEST:
                wire = bytearray(size)
                with memoryview(wire) as room:
                    stream.receive_into(fd, room, arrived)
                arrived.clear()  # whatever comes of it, the two sides are in step
                return lending.Received(wire)
        except BaseException:
            lending.drop(wire)
            raise
        arrived.clear()
        raise self._refused()

    def _refused(self) -> OSError:
        self._end_receiving()
        return OSError("bad message length")

    def _receiving_failed(self, arrived: list[bytes], error: BaseException) -> None:
        # Before a message has begun nothing is out of step, and the end comes again.
        if arrived and arrived[-1] and not isinstance(error, ConnectionError):
            self._why_not_open = self._why_not_readable = _CUT_SHORT.format("received")
            self._end_receiving()

    def _end_receiving(self) -> None:
        if self._writable:
            self._readable = False
            self._shut(socket.SHUT_RD)
        else:
            self.close()

    def _end_sending(self) -> None:
        self._why_not_open = self._why_not_writable = _CUT_SHORT.format("sent")
        if self._readable:
            self._writable = False
            self._shut(socket.SHUT_WR)
        else:
            self.close()

    def _shut(self, direction: int) -> None:
        """Tell the other side, whoever else has a copy of this end."""
        with contextlib.suppress(OSError):  # no socket, or nobody to be told
            shared = socket.socket(fileno=self._handle)
            try:
                shared.shutdown(direction)
            finally:
                shared.detach()


Connection.__module__ = "procession.connection"

_CUT_SHORT = (
    "this connection is not used any more: something was raised in the midst of a message that was "
    "being {} (by a signal handler, Ctrl-C); make a new one"
)


class Detachable(Protocol):
    """A descriptor on its way to another process."""

    def detach(self) -> int:
        """Its number here, from now on the caller's. To be called once."""


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Two connected connections.

    Args:
        duplex: whether both can send and receive; else the first can only receive, the second only
            send.

    Raises:
        OSError: there are no descriptors left.
    """
    if duplex:
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(True)  # whatever socket.setdefaulttimeout() was told
        here, there = (Connection(end.detach()) for end in ends)
    else:
        read, write = os.pipe()
        here, there = Connection(read, writable=False), Connection(write, readable=False)
    family = lending.Family.here()
    if family is not None:
        here._lender, there._lender = lending.Lender(family), lending.Lender(family)
    return here, there


def reduce_connection(conn: Connection) -> tuple[Any, ...]:
    """How a connection is pickled: a duplicate of its descriptor waits to be fetched.

    It travels with a process that is being started; else this process serves it until somebody
    has fetched it. Raises OSError if the connection is closed.
    """
    reduction: Any = stdlib.borrow("reduction")
    carried: Detachable = reduction.DupFd(conn.fileno())
    described = (carried, conn.readable, conn.writable)
    if conn._lender is None:
        return rebuild_connection, described
    family = conn._lender.family
    if reduction.context.get_spawning_popen() is not None and not parcel.is_packing():
        family.lends = False  # somebody else starts that process, maybe as one of no family
    return rebuild_connection, (*described, family.travel())


def rebuild_connection(
    carried: Detachable,
    readable: bool,
    writable: bool,
    family: tuple[int, ...] | None = None,
) -> Connection:
    """A connection that was pickled; an end of a pipe knows its family.

    Raises:
        OSError: its descriptor can not be had any more.
    """
    try:
        fd = carried.detach()
    except (OSError, EOFError, AuthenticationError) as error:
        raise OSError(
            "a connection was received that can not be fetched from where it was sent: that "
            "process has ended, has another authkey, or has handed it out already (what is "
            "pickled once can be unpickled once)"
        ) from error
    conn = Connection(fd, readable, writable)
    if family is not None:
        conn._lender = lending.Lender(lending.Family.again(family))
    return conn


def _flat(buf: Any) -> memoryview:
    """The bytes of a buffer."""
    view = memoryview(buf)
    if not view.nbytes:
        return memoryview(b"") if view.readonly else memoryview(bytearray())
    return view.cast("B") if view.itemsize > 1 or view.ndim != 1 else view
