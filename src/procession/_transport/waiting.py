"""Waiting until one of several things can be read.

What has a descriptor is watched by one ``poll()``: numbers (sentinels), sockets, connections of
ours and of the standard library's, and whatever else has a ``fileno()``.

Objects of ours that live in shared memory have none. They take part by one method, ``_is_ready()``
(see ``Askable``), which is called at once, and then every ``STEP`` seconds: so with one of them
among the objects, also what has a descriptor is watched in steps. Who has both is asked.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import Any, Protocol

from procession._launch.handle import LONGEST_SLEEP

STEP = 0.005
"""Seconds from one question to the next."""


class Askable(Protocol):
    """What can be waited for without a descriptor."""

    def _is_ready(self) -> bool:
        """Whether it can be read without blocking, or reading it tells that its other side is gone.

        It is asked often, and may be asked in any thread: it must be quick and never block. What it
        raises (OSError, if it is closed) ends the wait.
        """


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Wait until one or more of the objects are ready; which ones, in the order given.

    Ready is what can be read without blocking, the end of a stream included, and the sentinel of a
    process that has ended.

    Args:
        object_list: connections, sockets, numbers of descriptors, objects with a fileno().
        timeout: in seconds; None: without limit; zero or less: only look.

    Raises:
        ValueError: an object has no valid descriptor.
        KeyError: two of them have the same descriptor.
        OSError: a connection is closed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    asked: list[Askable] = []
    watched: dict[int, Any] = {}
    poll = select.poll()
    objects = list(object_list)
    for thing in objects:
        if hasattr(type(thing), "_is_ready"):
            asked.append(thing)
            continue
        fd = _descriptor(thing)
        if fd in watched:
            raise KeyError(f"{thing!r} (FD {fd}) is already registered")
        watched[fd] = thing
        poll.register(fd, select.POLLIN)
    longest = STEP if asked else LONGEST_SLEEP
    left = 0.0 if asked else longest
    while True:
        if deadline is not None:
            left = min(left, deadline - time.monotonic())
        readable = {fd for fd, _ in poll.poll(max(0.0, left) * 1000)}
        ready = {id(thing) for thing in asked if thing._is_ready()}
        ready.update(id(watched[fd]) for fd in readable)
        if ready:
            return [thing for thing in objects if id(thing) in ready]
        if deadline is not None and time.monotonic() >= deadline:
            return []
        left = longest


def _descriptor(thing: Any) -> int:
    if isinstance(thing, int):
        fd = thing
    else:
        try:
            fd = int(thing.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {thing!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd
