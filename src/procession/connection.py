"""Connections between processes, and waiting for several things.

``Pipe``, ``Connection``, ``Listener``, ``Client`` and ``wait`` have the standard library's names
and behaviour, and speak its format on the wire: either side may be one of its connections.
``wait()`` takes sentinels of processes, sockets, connections of both kinds, and whatever has a
``fileno()``.
"""

from __future__ import annotations

from procession._transport.authentication import (
    CHALLENGE,
    FAILURE,
    MESSAGE_LENGTH,
    WELCOME,
    answer_challenge,
    deliver_challenge,
)
from procession._transport.connection import (
    Connection,
    Pipe,
    rebuild_connection,
    reduce_connection,
)
from procession._transport.listening import (
    Client,
    Listener,
    SocketClient,
    SocketListener,
    address_type,
    arbitrary_address,
    default_family,
    families,
)
from procession._transport.waiting import wait
from procession._transport.xmlrpc import ConnectionWrapper, XmlClient, XmlListener

__all__ = [
    "CHALLENGE",
    "FAILURE",
    "MESSAGE_LENGTH",
    "WELCOME",
    "Client",
    "Connection",
    "ConnectionWrapper",
    "Listener",
    "Pipe",
    "SocketClient",
    "SocketListener",
    "XmlClient",
    "XmlListener",
    "address_type",
    "answer_challenge",
    "arbitrary_address",
    "default_family",
    "deliver_challenge",
    "families",
    "rebuild_connection",
    "reduce_connection",
    "wait",
]

# The same constants by the names that newer versions of the standard library give them.
_CHALLENGE, _WELCOME, _FAILURE = CHALLENGE, WELCOME, FAILURE
