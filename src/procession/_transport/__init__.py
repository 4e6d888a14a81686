"""Connections between processes: messages on pipes and sockets.

From the bottom up: ``stream`` (one message on a descriptor), ``pickling``, ``lending`` (what is
large goes in shared memory), ``waiting``, ``connection``; then ``authentication`` and ``listening``
(those who meet at an address), and ``xmlrpc``. What goes over the wire is what the standard
library's connections send and understand; but for the large messages between the ends of a pipe.
"""

from __future__ import annotations
