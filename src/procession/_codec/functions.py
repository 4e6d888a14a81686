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

import contextlib
import pickle
import struct
import sys
import types
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from procession._codec.objects import PROTOCOL, dumps_by_value, loads
from procession._core import Channel

KEPT_BY_SENDER = 512
KEPT_BY_WORKER = 1024

_PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None), type(...)})
_BY_NAME = (types.FunctionType, types.BuiltinFunctionType, type)
_CODE_OF_A_CLASS = (types.FunctionType, staticmethod, classmethod, property, type)

# Stands before what is published: the function's number, and a checksum. A block that was freed
# under a task that still names it, and is somebody else's now, is told by it.
_SEAL = struct.Struct("<QI")


class FunctionMissing(Exception):
    """A worker can not find this very function by its name, or not in its block any more."""


class Sent(NamedTuple):
    """A function as workers know it: its number, and the block that holds it."""

    number: int
    code: int


CARRIED = Sent(0, 0)
"""A callable that travels with its call."""


class _Entry:
    """A published function. Holds the function, so that its ``id()`` stays its own.

    What tells that one sent by value has changed since: ``captured``, where all that it drags
    along is unchanging in itself, else its ``blob``. One sent by name has neither.
    """

    __slots__ = ("blob", "captured", "function", "sent")

    def __init__(
        self, function: Any, sent: Sent, captured: tuple[Any, ...] | None, blob: bytes | None
    ) -> None:
        self.function = function
        self.sent = sent
        self.captured = captured
        self.blob = blob


def travels_by_number(function: Any) -> bool:
    """Is this a plain function, builtin or class, whose state is its code?"""
    if type(function) is types.BuiltinFunctionType:
        owner = function.__self__
        return owner is None or type(owner) is types.ModuleType
    return isinstance(function, _BY_NAME)


def fingerprint(function: Any) -> int:
    """A number that changes when the code of a function, or of a class's methods, does.

    Only what no run of the program changes goes into it: code, plain default values, and the
    functions that a decorator has wrapped. 0 for what has no code.
    """
    return _sum_of(function, 0, set())


def _sum_of(value: Any, total: int, seen: set[int]) -> int:
    """`total`, continued with what can be told of a value in every process alike."""
    if isinstance(value, types.CodeType):
        return _sum_of_code(value, total, seen)
    if isinstance(value, (staticmethod, classmethod)):
        return _sum_of(value.__func__, total, seen)
    if isinstance(value, property):
        parts: Any = (value.fget, value.fset, value.fdel)
        return _sum_of(parts, total, seen)
    if isinstance(value, (types.FunctionType, type)):
        if id(value) in seen:
            return total
        seen.add(id(value))
        if isinstance(value, type):
            for name, member in sorted(vars(value).items()):
                if isinstance(member, _CODE_OF_A_CLASS):
                    total = _sum_of(member, zlib.crc32(name.encode(), total), seen)
            return total
        total = _sum_of_code(value.__code__, total, seen)
        total = _sum_of(value.__defaults__, total, seen)
        total = _sum_of(tuple(sorted((value.__kwdefaults__ or {}).items())), total, seen)
        for content in _cell_contents(value):
            if isinstance(content, types.FunctionType):
                total = _sum_of(content, total, seen)
        return total
    if type(value) is tuple:
        total = zlib.crc32(b"(%d" % len(value), total)
        for part in value:
            total = _sum_of(part, total, seen)
        return total
    if type(value) is frozenset:
        # In an order of its own: that of the set depends on the process's hash seed.
        sums = sorted(_sum_of(part, 0, set()) for part in value)
        return zlib.crc32(repr(sums).encode(), total)
    if type(value) in _PLAIN:
        return zlib.crc32(repr(value).encode("utf-8", "surrogatepass"), total)
    return zlib.crc32(type(value).__qualname__.encode(), total)


def _sum_of_code(code: types.CodeType, total: int, seen: set[int]) -> int:
    total = zlib.crc32(code.co_code, total)
    signature = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars
    total = zlib.crc32(repr((signature, names)).encode("utf-8", "surrogatepass"), total)
    return _sum_of(code.co_consts, total, seen)


def _cell_contents(function: types.FunctionType) -> list[Any]:
    contents = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not filled yet
            contents.append(cell.cell_contents)
    return contents


def _captured(function: Any) -> tuple[Any, ...] | None:
    """What a function sent by value drags along, where all of it is unchanging.

    None when something in it can change without our seeing it.
    """
    if not isinstance(function, types.FunctionType):
        return None
    contents = _cell_contents(function)
    if function.__dict__ or len(contents) < len(function.__closure__ or ()):
        return None
    scope = function.__globals__
    values = [
        *(function.__defaults__ or ()),
        *(function.__kwdefaults__ or {}).values(),
        *contents,
        *(scope[name] for name in _names(function.__code__) if name in scope),
    ]
    return tuple(values) if all(map(_is_unchanging, values)) else None


def _names(code: types.CodeType) -> list[str]:
    """The names that a function's code, and the functions inside it, may look up."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return names


def _is_unchanging(value: Any) -> bool:
    """Whether a captured value is, for the workers, the same as long as it is the same object."""
    if type(value) in _PLAIN or isinstance(value, types.ModuleType):
        return True
    if type(value) in (tuple, frozenset):
        return all(map(_is_unchanging, value))
    return isinstance(value, _BY_NAME) and _is_importable(value)


def _is_importable(value: Any) -> bool:
    """Whether a function or class travels by a name that all processes know."""
    module = getattr(value, "__module__", None)
    if module is None or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


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
        elif entry.blob is not None and entry.blob != dumps_by_value(function):
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
        name = None if by_value else _by_name(function)
        captured: tuple[Any, ...] | None = None
        blob: bytes | None = None
        if name is None:
            captured = _captured(function)
            content = dumps_by_value(function)
            if captured is None:
                blob = content
        elif b"__main__" in name:
            content = pickle.dumps((name, fingerprint(function)), PROTOCOL)
        else:
            content = name
        sent = self.publish_content(content)
        old = self._entries.pop(id(function), None)
        if old is not None:
            self._retired.append((last_task, old.sent.code))
        self._entries[id(function)] = _Entry(function, sent, captured, blob)
        if len(self._entries) > KEPT_BY_SENDER:
            oldest = self._entries.pop(next(iter(self._entries)))
            self._retired.append((last_task, oldest.sent.code))
        return sent

    def publish_content(self, content: bytes) -> Sent:
        """Give pickled bytes a number. The caller frees the block."""
        number = self._next
        self._next += 1
        seal = _SEAL.pack(number, zlib.crc32(content))
        return Sent(number, self._channel.publish(seal + content))

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
        published = self._channel.fetch(code)
        content = published[_SEAL.size :]
        if published[: _SEAL.size] != _SEAL.pack(number, zlib.crc32(content)):
            raise FunctionMissing("its block was given to another")
        loaded = loads(content)
        if type(loaded) is tuple:
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
