"""The items of a chunk as bytes. They have three forms.

A list of nothing but integers, or nothing but floats, is machine words. Others are one pickle, and
have in common what they had in common; or, if they are to know nothing of one another, each has a
pickle of its own, and these are ``joined``. Who receives such a chunk unpickles each item when its
turn comes, so that an item which can not be unpickled, or kills who tries, does so in its own name.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from operator import call
from typing import Any

from procession import _core
from procession._codec.objects import PROTOCOL, loads

_PICKLE_MARK = pickle.PROTO[0]
"""The first byte of every pickle; no list of numbers begins with it."""

_JOINED = b"\0"
"""What pickles begin with that were joined; neither a pickle does nor a list of numbers."""


class Pickled:
    """An item that was pickled at once, before it could change; or that could not be.

    Attributes:
        content: its pickle.
        error: what was raised, if it could not be.
    """

    __slots__ = ("content", "error")

    def __init__(self, content: bytes, error: BaseException | None = None) -> None:
        self.content = content
        self.error = error


class Items:
    """Objects that were pickled each by itself. Each is unpickled when it is iterated over; one
    that can not be is no end of that: the next one comes behind it.

    Args:
        pickles: one for each.
        ends: for each, how many buffers are beside it and those before it; None if there are none.
        buffers: what is beside them.
    """

    __slots__ = ("_buffers", "_ends", "_pickles")

    def __init__(
        self, pickles: Sequence[bytes], ends: Sequence[int] | None, buffers: Sequence[Any]
    ) -> None:
        self._pickles = pickles
        self._ends = ends
        self._buffers = buffers

    def __iter__(self) -> Iterator[Any]:
        return self.since(0)

    def since(self, first: int) -> Iterator[Any]:
        """Those from that place on."""
        ends = self._ends
        if ends is None:
            return map(loads, self._pickles[first:])
        # No function of ours is called for one, which would be seen in the traceback.
        return map(call, map(self._loader, range(first, len(self._pickles))))

    def at(self, place: int) -> Any:
        """The one at that place."""
        return loads(self._pickles[place]) if self._ends is None else self._loader(place)()

    def names(self, word: bytes) -> bool:
        """Whether a word is in their pickles."""
        return word in b"".join(self._pickles)

    def _loader(self, place: int) -> Callable[[], Any]:
        assert self._ends is not None
        begin = self._ends[place - 1] if place else 0
        return partial(
            loads, self._pickles[place], buffers=self._buffers[begin : self._ends[place]]
        )


def joined(pickles: Sequence[bytes], ends: Sequence[int] | None = None) -> bytes:
    """What ``Items`` are made of, for ``loads_joined``."""
    return _JOINED + pickle.dumps((pickles, ends), PROTOCOL)


def loads_joined(content: bytes | memoryview, buffers: Sequence[Any] = ()) -> Any:
    """A pickled object; or ``Items``, if pickles were ``joined``. Runs code of the user's, like
    every unpickling.

    Args:
        buffers: those that are beside it.
    """
    if content[0] == _PICKLE_MARK:
        return loads(content, buffers=buffers)
    pickles, ends = loads(memoryview(content)[1:])
    return Items(pickles, ends, buffers)


def loads_items(payload: bytes | memoryview) -> Any:
    """The items of a chunk: numbers, an unpickled sequence, or ``Items``. Runs code of the user's,
    like every unpickling."""
    mark = payload[0]
    if mark == _PICKLE_MARK:
        return loads(payload)
    return loads_joined(payload) if mark == _JOINED[0] else _core.unpack_numbers(payload)


def since(items: Any, first: int) -> Iterable[Any]:
    """What ``loads_items`` gave, from that place on."""
    if type(items) is Items:
        return items.since(first)
    return islice(items, first, None) if first else items
