"""Values and arrays of C types in shared memory, each with a lock or without.

They are ctypes objects, in the memory that all processes of a program share. They can be sent in
any way: as arguments of a process or of a task, as results, through queues and pipes. Who gets one
has the same bytes. Those live until the last process has dropped them.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any

from procession._values.placing import place
from procession._values.synchronized import (
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    make_property,
    new_lock,
    synchronized,
)

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "make_property",
    "synchronized",
    "typecode_to_type",
]

typecode_to_type: dict[str, Any] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}
"""The C types that have a short name, which is that of the module ``array``."""


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """A ctypes object in shared memory, without a lock.

    Args:
        typecode_or_type: a ctypes type, or a key of ``typecode_to_type``.
        args: what its type is called with; without any, it is zero.

    Raises:
        TypeError: it is no such type, or the type refuses these values.
        MemoryError: there is no room for it.
    """
    value = place(_type_of(typecode_or_type))
    value.__init__(*args)
    return value


def RawArray(typecode_or_type: Any, size_or_initializer: Any) -> Any:
    """A ctypes array in shared memory, without a lock.

    Args:
        typecode_or_type: a ctypes type, or a key of ``typecode_to_type``.
        size_or_initializer: how many elements, which are zero; or a sequence of their values.

    Raises:
        TypeError: it is no such type, or the type refuses these values.
        ValueError: the size is negative.
        OverflowError, MemoryError: there is no room for it.
    """
    kind = _type_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        return place(kind * size_or_initializer)
    array = place(kind * len(size_or_initializer))
    array.__init__(*size_or_initializer)
    return array


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """A ctypes object in shared memory with a lock, which each access takes.

    ``value += 1`` is two accesses: hold ``get_lock()`` around it.

    Args:
        typecode_or_type: a ctypes type, or a key of ``typecode_to_type``.
        args: what its type is called with; without any, it is zero.
        lock: a lock to be used, anything with acquire() and release(). True or None: a new RLock.
            False: none, as from ``RawValue``.
        ctx: the context whose RLock that is.

    Raises:
        TypeError: it is no such type, or the type refuses these values.
        AttributeError: the lock has no acquire().
        MemoryError: there is no room for it.
    """
    return _guarded(RawValue(typecode_or_type, *args), lock, ctx)


def Array(
    typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None
) -> Any:
    """A ctypes array in shared memory with a lock, which each access takes.

    ``numpy.frombuffer(array.get_obj(), ...)`` is an array on the same bytes.

    Args:
        typecode_or_type: a ctypes type, or a key of ``typecode_to_type``.
        size_or_initializer: how many elements, which are zero; or a sequence of their values.
        lock: a lock to be used, anything with acquire() and release(). True or None: a new RLock.
            False: none, as from ``RawArray``.
        ctx: the context whose RLock that is.

    Raises:
        TypeError: it is no such type, or the type refuses these values.
        ValueError: the size is negative.
        AttributeError: the lock has no acquire().
        OverflowError, MemoryError: there is no room for it.
    """
    return _guarded(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def copy(obj: Any) -> Any:
    """A new ctypes object in shared memory, with what `obj` has now; that may be any ctypes object.

    Raises MemoryError if there is no room for it.
    """
    copied = place(type(obj))
    ctypes.pointer(copied)[0] = obj
    return copied


def _type_of(typecode_or_type: Any) -> Any:
    kind = typecode_or_type
    if isinstance(kind, str):
        kind = typecode_to_type.get(kind)
    if isinstance(kind, type):
        with contextlib.suppress(TypeError):
            ctypes.sizeof(kind)
            return kind
    raise TypeError(
        f"this type has no size: {typecode_or_type!r} is neither a ctypes type nor one of the "
        f"typecodes {' '.join(typecode_to_type)}"
    )


def _guarded(obj: Any, lock: Any, ctx: Any) -> Any:
    if lock is False:
        return obj
    if lock in (True, None):
        lock = new_lock(ctx)
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock)
