"""Functions travel once: published in a block, then named by number.

The sending side keeps a ``FunctionTable``, each worker a ``FunctionCache``. A function
that can be imported by name is sent by name. One of ``__main__`` is sent by name with a
fingerprint of its code: a worker that was forked before the function was (re)defined
notices, and asks for it by value. A lambda or closure is sent by value, again whenever
what it captured is no longer the same.

What is large in a closure goes apart, into frozen memory, as it does in arguments; whether it is
the same still is told by looking at both. Such a heavy function is kept only while somebody else
has it, and no more than ``heavy_bound()`` bytes of them, on either side.

A callable that carries a state of its own (a bound method, a ``partial``, an instance) is
not kept: its state may change between two calls, so it travels with each call. A call over many
items publishes it for itself (``dumps_for_one``); workers load it anew for each record, as a
function sent by value that captured something they could write to (``captured``).
"""

from __future__ import annotations

import pickle
import struct
import types
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, NamedTuple

from procession import _core
from procession._codec import repeats
from procession._codec.apart import Apart, Part, take_apart
from procession._codec.buffers import Payload, as_payload, dumps_task, settle, size_of
from procession._codec.captured import BY_NAME, captured, has_state
from procession._codec.fingerprints import arrives_as_it_is, fingerprint
from procession._codec.objects import PROTOCOL, loads
from procession._core import Channel

KEPT_BY_SENDER = 512
KEPT_BY_WORKER = 1024
KEPT_HEAVY = 2  # of those, by a worker: nobody tells it when they are gone
HEAVY = 256 << 20
"""Bytes that all functions kept may have apart, where the budget is large enough."""

SHARE = 8
"""One in so many bytes of the budget they may have in any case."""

ANEW = 1 << 62
"""A bit of the number of a function with a state of its own: each record has it loaded anew."""

ANEW_FOR_EACH = 1 << 61
"""Besides, for such a one: each item has."""

# Stands before what is published: the function's number, a checksum, and how many bytes it has
# apart. A block that was freed under a task that still names it, and is somebody else's now, is
# told by it.
_SEAL = struct.Struct("<QIQ")


class FunctionMissing(Exception):
    """A worker can not find this very function by its name, or not in its block any more."""


class Sent(NamedTuple):
    """A function as workers know it: its number, and the block that holds it."""

    number: int
    code: int

    def for_each(self) -> Sent:
        """As it is named where the items of a record shall share no state of it."""
        return self._replace(number=self.number | ANEW_FOR_EACH) if self.number & ANEW else self


CARRIED = Sent(0, 0)
"""A callable that travels with its call."""


class _Entry:
    """A published function. Holds the function, so that its ``id()`` stays its own; if it is heavy
    by a weak reference, which tells when it is gone.

    What tells that one sent by value has changed since: ``captured``, where all that it drags
    along is unchanging in itself, else what was ``taken`` apart. One sent by name has neither.
    """

    __slots__ = ("captured", "function", "sent", "taken", "weight")

    def __init__(
        self,
        function: Any,
        sent: Sent,
        captured: tuple[Any, ...] | None,
        taken: Apart | None,
        weight: int,
    ) -> None:
        self.function = function
        self.sent = sent
        self.captured = captured
        self.taken = taken
        self.weight = weight  # bytes apart


def heavy_bound() -> int:
    """Bytes that all functions kept may have apart; the sender keeps the newest whatever it has."""
    return min(HEAVY, _core.memory_budget() // SHARE)


def travels_by_number(function: Any) -> bool:
    """Is this a plain function, builtin or class, whose state is its code?"""
    if type(function) is types.BuiltinFunctionType:
        owner = function.__self__
        return owner is None or type(owner) is types.ModuleType
    return isinstance(function, BY_NAME)


def _by_name(function: Any) -> bytes | None:
    try:
        return pickle.dumps(function, PROTOCOL)
    except Exception:
        return None


def _settled(taken: Apart) -> Payload:
    """What was taken apart, for many receivers, and many times."""
    repeats.notice(taken, at_once=True)
    settle(taken, once=False, wait=False)
    for memory in taken.kept():
        memory.freeze()
    for part in taken.parts:
        # It lies in shared memory: the function's own bytes may be looked at, not held.
        part.view = _there(part)
    return as_payload(taken)


def _there(part: Part) -> memoryview:
    assert part.place is not None
    begin = part.place.offset
    return memoryview(part.place.memory)[begin : begin + part.view.nbytes]


def _is_the_same(function: Any, taken: Apart) -> bool:
    """Whether a function would be taken apart to the same bytes now."""
    pins = _core.pins_made()
    now = take_apart(function, by_value=True)
    _core.withdraw_pins(pins)
    return (
        now.inner == taken.inner
        and [part.form for part in now.parts] == [part.form for part in taken.parts]
        and all(map(_has_the_bytes_of, now.parts, taken.parts))
    )


def _has_the_bytes_of(one: Part, other: Part) -> bool:
    if one.place is not None and _core.address_of(one.view) == _core.address_of(other.view):
        return True  # nobody writes there
    return _core.same_bytes(one.view, other.view)


def dumps_for_one(function: Callable[..., Any], *, by_value: bool) -> bytes:
    """A callable with a state of its own, pickled for one call over many items.

    Args:
        function: any callable.
        by_value: with the code of what lives in ``__main__``: a worker has not found it by name.

    Raises:
        ArenaFull: there is no room for what is large in it.
        Exception: what pickle says of a callable that can not be pickled.
    """
    content = dumps_task(function, once=False, by_value=by_value)
    return content if by_value else _checkable(content, function)


def _checkable(name: bytes, function: Any) -> bytes:
    """A pickle that may name something of ``__main__``, so that a worker can tell whether it has
    the same there; or just whether it has something there, where it may unpickle something else."""
    if b"__main__" not in name:
        return name
    expected = fingerprint(function) if arrives_as_it_is(function) else None
    content = pickle.dumps((bytes(name), expected), PROTOCOL)
    if isinstance(name, Payload):
        return Payload(content, name.kept, size_of(name) - len(name) + len(content))
    return content


class FunctionTable:
    """The sending side: which functions the workers of one channel can know.

    Guarded by its owner: one thread at a time.

    Attributes:
        by_name: those that were sent by name, by their ``id()``: they stay what they are, so for
            these nobody has to ask ``find``.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._entries: dict[int, _Entry] = {}
        self.by_name: dict[int, tuple[int, int]] = {}
        self._next = 1
        # Blocks that no task sent from now on names: (last task that may name it, block).
        self._retired: deque[tuple[int, int]] = deque()
        self._kept: dict[int, Sequence[_core.Memory]] = {}  # what is apart, by block
        self._gone: deque[int] = deque()  # blocks of heavy functions that nobody has any more

    def find(self, function: Any) -> Sent | None:
        """The function as already published, if what was published still holds."""
        entry = self._entries.get(id(function))
        if entry is None:
            return None
        unchanging = entry.captured
        if unchanging is not None:
            if entry.weight and entry.function() is not function:
                return None
            now = captured(function)
            if now is None or len(now) != len(unchanging):
                return None
            for one, other in zip(now, unchanging, strict=True):
                if one is not other:
                    return None
        elif entry.taken is not None and not _is_the_same(function, entry.taken):
            return None
        return entry.sent

    def publish(self, function: Any, last_task: int, *, by_value: bool = False) -> Sent | None:
        """Publish a function for many calls; None when it must travel with each call.

        Args:
            function: any callable.
            last_task: the highest task number given so far.
            by_value: send its code, although it has an importable name.

        Raises:
            ArenaFull: there is no room for what is large in it.
            Exception: what pickle says of a function that can not be pickled at all.
        """
        if not travels_by_number(function):
            return None
        name = None if by_value else _by_name(function)
        unchanging: tuple[Any, ...] | None = None
        taken: Apart | None = None
        is_anew = False
        if name is None:
            is_anew = has_state(function)
            unchanging = captured(function)
            taken = take_apart(function, by_value=True)
            content = _settled(taken) if taken.parts else taken.inner
            if unchanging is not None:
                taken = None
        else:
            content = _checkable(name, function)
        self.by_name.pop(id(function), None)
        old = self._entries.pop(id(function), None)
        if old is not None:
            self._retired.append((last_task, old.sent.code))
        sent = self.publish_content(content, anew=is_anew)
        weight = size_of(content) - len(content)
        held = weakref.ref(function, partial(self._lose, id(function))) if weight else function
        self._entries[id(function)] = _Entry(held, sent, unchanging, taken, weight)
        if name is not None:
            self.by_name[id(function)] = sent
        while len(self._entries) > KEPT_BY_SENDER:
            self._retire(next(iter(self._entries)), last_task)
        heavy = self._heavy()
        total = sum(entry.weight for _, entry in heavy)
        for key, entry in heavy[:-1]:
            if total <= heavy_bound():
                break
            self._retire(key, last_task)
            total -= entry.weight
        return sent

    def _heavy(self) -> list[tuple[int, _Entry]]:
        """Those that have something apart, the oldest first."""
        return [(key, entry) for key, entry in list(self._entries.items()) if entry.weight]

    def _retire(self, key: int, last_task: int) -> None:
        self.by_name.pop(key, None)
        entry = self._entries.pop(key, None)  # none: it was lost at this moment
        if entry is not None:
            self._retired.append((last_task, entry.sent.code))

    def _lose(self, key: int, _: object) -> None:
        """A heavy function has ended; called at any time, in any thread. No task names it, for
        those hold their functions."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._gone.append(entry.sent.code)

    def free_gone(self) -> bool:
        """Free the blocks of heavy functions that nobody has any more; whether there were any."""
        found = False
        while self._gone:
            self.free(self._gone.popleft())
            found = True
        return found

    def free_heavy(self, named: Container[int]) -> bool:
        """Free all that have something apart, but for the blocks in `named`; whether there were
        any. A task that names one nevertheless asks for it by value."""
        found = False
        for key, entry in self._heavy():
            if entry.sent.code not in named and self._entries.pop(key, None) is not None:
                self.free(entry.sent.code)
                found = True
        for retired in [*self._retired]:
            if retired[1] in self._kept and retired[1] not in named:
                self._retired.remove(retired)
                self.free(retired[1])
                found = True
        return found

    def publish_content(self, content: bytes, *, anew: bool = True) -> Sent:
        """Give pickled bytes a number, and keep what they name. See ``free``.

        Args:
            content: the pickle.
            anew: whether each record is to have it unpickled anew.
        """
        number = self._next | ANEW if anew else self._next
        self._next += 1
        seal = _SEAL.pack(number, zlib.crc32(content), size_of(content) - len(content))
        sent = Sent(number, self._channel.publish(seal + content))
        if isinstance(content, Payload):
            self._kept[sent.code] = content.kept
        return sent

    def free(self, code: int) -> None:
        """No task will name this block any more."""
        self._kept.pop(code, None)
        self._channel.free(code)

    def free_retired(self, oldest_task: int) -> None:
        """Free the blocks that no task from ``oldest_task`` on can name."""
        while self._retired and self._retired[0][0] < oldest_task:
            self.free(self._retired.popleft()[1])

    def free_all(self) -> None:
        """No task will name any of them any more."""
        blocks = [entry.sent.code for entry in self._entries.values()]
        blocks += [code for _, code in self._retired]
        self.free_gone()
        self.by_name.clear()
        self._entries.clear()
        self._retired.clear()
        for block in blocks:
            self.free(block)

    @property
    def has_retired(self) -> bool:
        """Whether there is anything to free."""
        return bool(self._retired or self._gone)


class FunctionCache:
    """A worker's side: the functions it has loaded, by number."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.known: dict[int, Callable[..., Any]] = {}  # the plain dict, for the hot path
        self._heavy: dict[int, int] = {}  # bytes apart, of those that have some; the oldest first
        self._checked = 0  # the last one whose fingerprint was found right

    def load(self, number: int, code: int) -> Callable[..., Any]:
        """The function of this number, loaded from its block the first time; each time if it has
        a state of its own.

        Raises:
            FunctionMissing: this process has another function, or none, under its name.
            Exception: whatever its pickle raises.
        """
        known = self.known.get(number)
        if known is not None:
            return known
        content, weight = self._fetch(number, code)
        function = self._unpickled(number, content)
        if number & ANEW:
            return function
        if weight and not self._make_room(weight):
            return function
        if len(self.known) >= KEPT_BY_WORKER:
            self._forget(next(iter(self.known)))
        self.known[number] = function
        if weight:
            self._heavy[number] = weight
        return function

    def _unpickled(self, number: int, content: bytes) -> Callable[..., Any]:
        loaded = loads(content)
        if type(loaded) is tuple:
            name, expected = loaded
            try:
                loaded = loads(name)
            except AttributeError as error:
                raise FunctionMissing(str(error)) from None
            is_checked = expected is None or number == self._checked
            if not is_checked and fingerprint(loaded) != expected:
                raise FunctionMissing(f"{loaded!r} has changed since this worker began")
            self._checked = number
        function: Callable[..., Any] = loaded
        return function

    def _make_room(self, weight: int) -> bool:
        """Forget heavy functions for another one of so many bytes; whether it may be kept."""
        left = heavy_bound() - weight
        while self._heavy and (len(self._heavy) >= KEPT_HEAVY or sum(self._heavy.values()) > left):
            self._forget(next(iter(self._heavy)))
        return left >= 0

    def maker(self, number: int, code: int) -> Callable[[], Callable[..., Any]]:
        """Loads a function with a state of its own, anew each time that it is called; that raises
        what ``load`` raises.

        Raises:
            FunctionMissing: its block is not there any more.
        """
        return partial(self._unpickled, number, self._fetch(number, code)[0])

    def _fetch(self, number: int, code: int) -> tuple[bytes, int]:
        """What was published, and how many bytes it has apart."""
        published = self._channel.fetch(code)
        content = published[_SEAL.size :]
        *seal, weight = _SEAL.unpack(published[: _SEAL.size].ljust(_SEAL.size, b"\0"))
        if seal != [number & ~ANEW_FOR_EACH, zlib.crc32(content)]:
            raise FunctionMissing("its block was given to another")
        return content, weight

    def _forget(self, number: int) -> None:
        self.known.pop(number, None)
        self._heavy.pop(number, None)
