"""A ctypes object and its lock, as one object."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Self

from procession._core import Guarded
from procession._sync.locks import RLock


class SynchronizedBase(Guarded):
    """What all wrappers have; ``acquire`` and ``release`` are the lock's own.

    In a with-statement the lock is held. It can be sent to other processes in any way, if the lock
    can: they get the same object and the same lock.

    Args:
        obj: the ctypes object.
        lock: anything with acquire() and release(); without one, a new RLock.
        ctx: the context whose RLock that is.
    """

    def __init__(self, obj: Any, lock: Any = None, ctx: Any = None) -> None:
        super().__init__(obj, lock or new_lock(ctx))

    def __enter__(self) -> Any:
        return getattr(self._lock, "__enter__", self.acquire)()

    def __exit__(self, *error: object) -> Any:
        leave = getattr(self._lock, "__exit__", None)
        return self.release() if leave is None else leave(*error)

    def __reduce__(self) -> tuple[object, ...]:
        return synchronized, (self._obj, self._lock)

    def __deepcopy__(self, _: object) -> Self:
        return self  # as locks do: a private copy would only look as if it were shared

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self._obj}>"


def make_property(name: str) -> property:
    """A property that reads and writes an attribute of the wrapped object, the lock being held."""
    made = _properties.get(name)
    if made is None:
        made = _properties[name] = SynchronizedBase._attribute(name)
    return made


_properties: dict[str, property] = {}
_wrappers: weakref.WeakKeyDictionary[type, type[SynchronizedBase]] = weakref.WeakKeyDictionary()


class Synchronized(SynchronizedBase):
    """A single C value: a number or a character."""

    value = make_property("value")


class SynchronizedArray(SynchronizedBase):
    """An array of C values. Each use of an index holds the lock; loops do so item by item."""

    def __len__(self) -> int:
        return len(self._obj)

    __getitem__ = Guarded._get_item
    __setitem__ = Guarded._set_item


class SynchronizedString(SynchronizedArray):
    """An array of bytes: ``value`` ends before the first zero, ``raw`` is all of it."""

    value = make_property("value")
    raw = make_property("raw")


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """A wrapper for a ctypes object that takes a lock around each access.

    Of a structure, each field becomes a property of the wrapper.

    Args:
        obj: the ctypes object.
        lock: anything with acquire() and release(); without one, a new RLock.
        ctx: the context whose RLock that is.

    Raises:
        AssertionError: it is such a wrapper.
    """
    if isinstance(obj, SynchronizedBase):
        raise AssertionError("object already synchronized")
    return _wrapper_of(type(obj))(obj, lock, ctx)


def _wrapper_of(kind: Any) -> type[SynchronizedBase]:
    if issubclass(kind, ctypes._SimpleCData):
        return Synchronized
    if issubclass(kind, ctypes.Array):
        return SynchronizedString if kind._type_ is ctypes.c_char else SynchronizedArray
    made = _wrappers.get(kind)
    if made is None:
        fields = {field[0] for base in kind.__mro__ for field in vars(base).get("_fields_", ())}
        if not fields and not hasattr(kind, "_fields_"):
            raise AttributeError(f"type object {kind.__name__!r} has no attribute '_fields_'")
        properties = {name: make_property(name) for name in fields}
        made = type(f"Synchronized{kind.__name__}", (SynchronizedBase,), properties)
        _wrappers[kind] = made
    return made


def new_lock(ctx: Any) -> Any:
    """A recursive lock that processes share: of a context, or without one of the package's own."""
    return RLock() if ctx is None else ctx.RLock()
