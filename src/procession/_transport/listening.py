"""Those who meet at an address: ``Listener`` and ``Client``.

Addresses are a path or an abstract name (AF_UNIX), or a tuple of host and port (AF_INET, or
AF_INET6 if the host has a colon). With a key nothing is unpickled from somebody who has it not (see
``authentication``); a client that fails to prove it costs its own connection, not the listener.

An address that nobody chose is a socket in a new directory that only this user may enter. It is
removed when the listener is closed, at the latest at the end of this process.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
import weakref
from types import TracebackType
from typing import Any, Self

from procession._launch import exits
from procession._transport.authentication import answer_challenge, deliver_challenge
from procession._transport.connection import Connection
from procession.errors import AuthenticationError

PATIENCE = 20.0
"""Seconds in which a client that was accepted has to prove that it has the key."""

default_family = "AF_UNIX"
families = ["AF_INET", "AF_UNIX"]

_KNOWN_FAMILIES = {"AF_INET", "AF_INET6", "AF_UNIX"}
_LONGEST_PATH = 107  # bytes, what the kernel has room for
_LAST = -100  # among what is done at the end of a process

_made: dict[str, exits.ExitHandle] = {}  # directories for addresses that nobody chose

Address = str | bytes | tuple[Any, ...]


class Listener:
    """Waits at an address for clients.

    Args:
        address: where; None: an address that is free.
        family: "AF_UNIX", "AF_INET" or "AF_INET6"; None: told by the address.
        backlog: how many clients may wait to be accepted.
        authkey: the key that clients have to have, and to which this side proves itself; None:
            everybody is accepted.

    Raises:
        TypeError: the key is no bytes, or the address of a type that none has.
        ValueError: the address or the family is of no known kind.
        OSError: the address is in use, or can not be had.
    """

    def __init__(
        self,
        address: Address | None = None,
        family: str | None = None,
        backlog: int = 1,
        authkey: bytes | None = None,
    ) -> None:
        _check_key(authkey)
        family = family or (address_type(address) if address else default_family)
        _check_family(family)
        self._authkey = authkey
        self._listener: SocketListener | None = SocketListener(
            address or arbitrary_address(family), family, backlog
        )
        self._address = self._listener._address

    def accept(self) -> Connection:
        """The connection to the next client; waits for one.

        Raises:
            AuthenticationError: the client has not the key, or has not proved it in time
                (``PATIENCE``). Its connection is closed, the next client can be accepted.
            EOFError: the client has gone without proving it.
            OSError: the same, or it has sent something too long; or the listener is closed.
        """
        if self._listener is None:
            raise OSError("listener is closed")
        connection = self._listener.accept()
        if self._authkey is not None:
            with _closed_on_error(connection):
                client = _Unproved(connection)
                deliver_challenge(client, self._authkey)
                answer_challenge(client, self._authkey)
        return connection

    def close(self) -> None:
        """Stop to listen, and remove the address. Connections that were accepted stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @property
    def address(self) -> Any:
        """Where it listens, for ``Client``: with the port that was found."""
        return self._address

    @property
    def last_accepted(self) -> Any:
        """The address of the client that was accepted last; None if there was none.

        Raises AttributeError after close().
        """
        if self._listener is None:
            raise AttributeError("last_accepted: the listener is closed")
        return self._listener._last_accepted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def Client(address: Address, family: str | None = None, authkey: bytes | None = None) -> Connection:
    """A connection to the listener at an address.

    Waits until it has been accepted, if there is a key.

    Args:
        address: the listener's.
        family: "AF_UNIX", "AF_INET" or "AF_INET6"; None: told by the address.
        authkey: the listener's key; None: it has none.

    Raises:
        AuthenticationError: the listener has another key, or does not speak the protocol.
        TypeError: the key is no bytes, or the address of a type that none has.
        ValueError: the address or the family is of no known kind.
        EOFError: the listener has gone.
        OSError: nobody listens there, or the listener has gone.
    """
    _check_key(authkey)
    family = family or address_type(address)
    _check_family(family)
    connection = SocketClient(address, family)
    if authkey is not None:
        with _closed_on_error(connection):
            answer_challenge(connection, authkey)
            deliver_challenge(connection, authkey)
    return connection


class SocketListener:
    """A socket that is bound to an address and listens. Arguments and errors as for Listener."""

    def __init__(self, address: Address, family: str, backlog: int = 1) -> None:
        self._family = family
        self._last_accepted: Any = None
        self._unlink: Any = None
        self._socket = socket.socket(getattr(socket, family))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setblocking(True)
            self._socket.bind(address)
            if family == "AF_UNIX" and not _is_abstract(address):
                path = os.path.abspath(self._socket.getsockname())
                self._unlink = weakref.finalize(self, *_remover(path))
                self._unlink.atexit = False  # the end of a process has an order of its own
            self._socket.listen(backlog)
            self._address = self._socket.getsockname()
        except BaseException:
            self.close()
            raise

    def accept(self) -> Connection:
        """The connection to the next client; waits for one."""
        accepted, self._last_accepted = self._socket.accept()
        accepted.setblocking(True)
        return Connection(accepted.detach())

    def close(self) -> None:
        """Close the socket, and remove what stands for it in the file system."""
        try:
            self._socket.close()
        finally:
            if self._unlink is not None:
                self._unlink()


def SocketClient(address: Address, family: str | None = None) -> Connection:
    """A connection to the socket that listens at an address."""
    with socket.socket(getattr(socket, family or address_type(address))) as connecting:
        connecting.setblocking(True)
        connecting.connect(address)
        return Connection(connecting.detach())


def arbitrary_address(family: str) -> Any:
    """An address that is free. Raises ValueError for a family that is not known."""
    if family == "AF_INET":
        return ("localhost", 0)
    if family == "AF_INET6":
        return ("::1", 0)
    if family == "AF_UNIX":
        return _new_path()
    raise ValueError("unrecognized family")


def address_type(address: object) -> str:
    """The family that an address belongs to. Raises ValueError or TypeError if it is none."""
    if type(address) is tuple:
        is_six = len(address) == 4 or (bool(address) and ":" in str(address[0]))
        return "AF_INET6" if is_six else "AF_INET"
    if type(address) is str and address.startswith("\\\\"):
        return "AF_PIPE"
    if type(address) is str or _is_abstract(address):
        return "AF_UNIX"
    kind = TypeError if address and not isinstance(address, str | bytes) else ValueError
    raise kind(f"address type of {address!r} unrecognized")


class _Unproved:
    """A client that has a limited time for its proof, however it spends it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + PATIENCE

    def send_bytes(self, buf: bytes, /) -> None:
        self._connection.send_bytes(buf)

    def recv_bytes(self, maxlength: int, /) -> bytes:
        try:
            return self._connection._receive(self._connection.fileno(), maxlength, self._deadline)
        except TimeoutError:
            raise AuthenticationError(
                f"a client did not prove within {PATIENCE:g} seconds that it has the key"
            ) from None


@contextlib.contextmanager
def _closed_on_error(connection: Connection) -> Any:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _check_key(authkey: object) -> None:
    if authkey is not None and not isinstance(authkey, bytes):
        raise TypeError("authkey should be a byte string")


def _check_family(family: str) -> None:
    if family not in _KNOWN_FAMILIES:
        raise ValueError(f"Family {family} is not recognized.")


def _is_abstract(address: object) -> bool:
    """Whether it is a name that the kernel keeps, without a file."""
    if isinstance(address, bytes):
        return address[:1] == b"\0"
    return isinstance(address, str) and address[:1] == "\0"


def _new_path() -> str:
    import tempfile

    made = tempfile.mkdtemp(prefix="listener-")
    if len(os.fsencode(made)) + len("/socket") > _LONGEST_PATH:
        os.rmdir(made)
        made = tempfile.mkdtemp(prefix="listener-", dir="/tmp")
    _made[made] = exits.register_exit(functools.partial(_remove_directory, made), priority=_LAST)
    return os.path.join(made, "socket")


def _remover(path: str) -> tuple[Any, ...]:
    at_exit = exits.register_exit(functools.partial(_remove, path), priority=0)
    return _remove_early, path, at_exit, os.getpid()


def _remove_early(path: str, at_exit: exits.ExitHandle, pid: int) -> None:
    # A copy of the listener, in a process that was forked, has no say in it.
    if os.getpid() == pid:
        at_exit.cancel()
        _remove(path)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    made = os.path.dirname(path)
    if made in _made:
        _made.pop(made).cancel()
        _remove_directory(made)


def _remove_directory(made: str) -> None:
    with contextlib.suppress(OSError):  # somebody has put more into it
        os.rmdir(made)


os.register_at_fork(after_in_child=_made.clear)
