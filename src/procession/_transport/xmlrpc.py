"""Listeners and clients that send XML instead of pickles: for plain data, and peers not trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procession._transport.connection import Connection
from procession._transport.listening import Client, Listener


class ConnectionWrapper:
    """A connection whose objects are encoded in another way.

    Args:
        conn: what the bytes go through.
        dumps: an object as bytes.
        loads: the object again.
    """

    def __init__(
        self, conn: Connection, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]
    ) -> None:
        self._conn = conn
        self._dumps = dumps
        self._loads = loads
        self.fileno = conn.fileno
        self.close = conn.close
        self.poll = conn.poll
        self.recv_bytes = conn.recv_bytes
        self.send_bytes = conn.send_bytes

    def send(self, obj: Any) -> None:
        """Send an object."""
        self._conn.send_bytes(self._dumps(obj))

    def recv(self) -> Any:
        """Receive an object; waits for one."""
        return self._loads(self._conn.recv_bytes())


class XmlListener(Listener):
    """A ``Listener`` whose connections send XML."""

    def accept(self) -> Any:
        """As ``Listener.accept()``."""
        return ConnectionWrapper(super().accept(), _dumps, _loads)


def XmlClient(*args: Any, **kwds: Any) -> ConnectionWrapper:
    """As ``Client()``, with a connection that sends XML."""
    return ConnectionWrapper(Client(*args, **kwds), _dumps, _loads)


def _dumps(obj: Any) -> bytes:
    import xmlrpc.client

    return xmlrpc.client.dumps((obj,), allow_none=True).encode()


def _loads(data: bytes) -> Any:
    import xmlrpc.client

    (obj,), _ = xmlrpc.client.loads(data.decode())
    return obj
