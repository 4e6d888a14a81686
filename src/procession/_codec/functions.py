"""Functions travel once: published in a block, then named by number.

The sending side keeps a ``FunctionTable``, each worker a ``FunctionCache``. A function
that can be imported by name is sent by name. One of ``__main__`` is sent by name with a
fingerprint of its code: a worker that was forked before the function was (re)defined
notices, and asks for it by value. A lambda or closure is sent by value, again whenever
what it captured is no longer the same.

A callable that carries a state of its own (a bound method, a ``partial``, an instance) is
not kept: its state may change between two calls, so it travels with each call.
"""

from __future__ import annotations

import pickle
import types
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from procession._codec.objects import PROTOCOL, dumps_by_value, loads
from procession._core import Channel

KEPT_BY_SENDER = 512
KEPT_BY_WORKER = 1024

# Captured values of these types can not change under us.
_UNCHANGING = (int, float, complex, str, bytes, bool, type(None), type, types.ModuleType)
_BY_NAME = (types.FunctionType, types.BuiltinFunctionType, type)


class FunctionMissing(Exception):
    """A worker can not find this very function by its name."""


class Sent(NamedTuple):
    """A function as workers know it: its number, and the block that holds it."""

    number: int
    code: int


class _Entry:
    """A published function. Holds the function, so that its ``id()`` stays its own."""

    __slots__ = ("captured", "function", "sent")

    def __init__(self, function: Any, sent: Sent, captured: tuple[Any, ...] | None) -> None:
        self.function = function
        self.sent = sent
        self.captured = captured


def travels_by_number(function: Any) -> bool:
    """Is this a plain function, builtin or class, whose state is its code?"""
    if type(function) is types.BuiltinFunctionType:
        owner = function.__self__
        return owner is None or type(owner) is types.ModuleType
    return isinstance(function, _BY_NAME)


def fingerprint(function: Any) -> int:
    """A number that changes when the function's code does; 0 for what has no code."""
    code = getattr(function, "__code__", None)
    return _code_sum(code) if isinstance(code, types.CodeType) else 0


def _code_sum(code: types.CodeType) -> int:
    total = zlib.crc32(code.co_code)
    total = zlib.crc32(repr((code.co_names, code.co_varnames, code.co_freevars)).encode(), total)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            total ^= _code_sum(constant)
        elif isinstance(constant, (int, float, complex, str, bytes, tuple, type(None))):
            # A frozenset's repr() depends on the process's hash seed: left out.
            total = zlib.crc32(repr(constant).encode("utf-8", "surrogatepass"), total)
    return total


def _captured(function: Any) -> tuple[Any, ...] | None:
    """What a function sent by value drags along, where all of it is unchanging.

    None when something in it can change without our seeing it.
    """
    if not isinstance(function, types.FunctionType):
        return ()
    values: list[Any] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    try:
        values += [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # a cell not filled yet
        return None
    if any(isinstance(constant, types.CodeType) for constant in function.__code__.co_consts):
        return None  # inner functions may name further globals
    scope = function.__globals__
    values += [scope[name] for name in function.__code__.co_names if name in scope]
    if function.__dict__ or not all(isinstance(value, _UNCHANGING) for value in values):
        return None
    return tuple(values)


def _by_name(function: Any) -> bytes | None:
    try:
        return pickle.dumps(function, PROTOCOL)
    except Exception:
        return None


class FunctionTable:
    """The sending side: which functions the workers of one channel can know.

    Guarded by its owner: one thread at a time.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._entries: dict[int, _Entry] = {}
        self._next = 1
        # Blocks that no task sent from now on names: (last task that may name it, block).
        self._retired: deque[tuple[int, int]] = deque()

    def find(self, function: Any) -> Sent | None:
        """The function as already published, if what was published still holds."""
        entry = self._entries.get(id(function))
        if entry is None:
            return None
        captured = entry.captured
        if captured is not None:
            now = _captured(function)
            if now is None or len(now) != len(captured):
                return None
            for one, other in zip(now, captured, strict=True):
                if one is not other:
                    return None
        return entry.sent

    def publish(self, function: Any, last_task: int, *, by_value: bool = False) -> Sent | None:
        """Publish a function for many calls; None when it must travel with each call.

        Args:
            function: any callable.
            last_task: the highest task number given so far.
            by_value: send its code, although it has an importable name.

        Raises:
            Exception: what pickle says of a function that can not be pickled at all.
        """
        if not travels_by_number(function):
            return None
        blob = None if by_value else _by_name(function)
        captured: tuple[Any, ...] | None = None
        if blob is None:
            captured = _captured(function)
            if captured is None and not by_value:
                return None
            content = dumps_by_value(function)
        elif b"__main__" in blob:
            content = pickle.dumps((blob, fingerprint(function)), PROTOCOL)
        else:
            content = blob
        sent = self.publish_content(content)
        old = self._entries.pop(id(function), None)
        if old is not None:
            self._retired.append((last_task, old.sent.code))
        self._entries[id(function)] = _Entry(function, sent, captured)
        if len(self._entries) > KEPT_BY_SENDER:
            oldest = self._entries.pop(next(iter(self._entries)))
            self._retired.append((last_task, oldest.sent.code))
        return sent

    def publish_content(self, content: bytes) -> Sent:
        """Give pickled bytes a number. The caller frees the block."""
        sent = Sent(self._next, self._channel.publish(content))
        self._next += 1
        return sent

    def free_retired(self, oldest_task: int) -> None:
        """Free the blocks that no task from ``oldest_task`` on can name."""
        while self._retired and self._retired[0][0] < oldest_task:
            self._channel.free(self._retired.popleft()[1])

    def free_all(self) -> None:
        """No task will name any of them any more."""
        blocks = [entry.sent.code for entry in self._entries.values()]
        blocks += [code for _, code in self._retired]
        self._entries.clear()
        self._retired.clear()
        for block in blocks:
            self._channel.free(block)

    @property
    def has_retired(self) -> bool:
        """Whether ``free_retired`` has anything to look at."""
        return bool(self._retired)


class FunctionCache:
    """A worker's side: the functions it has loaded, by number."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.known: dict[int, Callable[..., Any]] = {}  # the plain dict, for the hot path

    def load(self, number: int, code: int) -> Callable[..., Any]:
        """The function of this number, loaded from its block the first time.

        Raises:
            FunctionMissing: this process has another function, or none, under its name.
            Exception: whatever its pickle raises.
        """
        known = self.known.get(number)
        if known is not None:
            return known
        loaded = loads(self._channel.fetch(code))
        if isinstance(loaded, tuple):
            blob, expected = loaded
            try:
                loaded = loads(blob)
            except AttributeError as error:
                raise FunctionMissing(str(error)) from None
            if fingerprint(loaded) != expected:
                raise FunctionMissing(f"{loaded!r} has changed since this worker began")
        function: Callable[..., Any] = loaded
        if len(self.known) >= KEPT_BY_WORKER:
            del self.known[next(iter(self.known))]
        self.known[number] = function
        return function
