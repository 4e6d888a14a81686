"""A channel whose only seat is this process's: it is parent and worker."""

from __future__ import annotations

import os

from procession import _core
from procession._core import Channel

RING = 1 << 18


class Alone:
    """The channel, with its seat taken.

    Args:
        ring: bytes of each ring.
    """

    def __init__(self, ring: int = RING) -> None:
        _core.join()
        self.bell = os.eventfd(0)
        self.channel = Channel(1, ring, ring, 1, self.bell)
        self.channel.sit(0)

    def close(self) -> None:
        """Give it back."""
        self.channel.release()
        os.close(self.bell)
