"""Sharing: an object's large buffers are put into frozen memory once, and named from then on.

What is returned is the object itself, made anew upon views of that memory: an array is an array.
Nothing stands between it and the code that uses it, and the roads know it by where its bytes lie
(``Memory.at``). It lives as long as some process has a view: the last one to let go, or to die,
gives the memory back.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Iterable
from pickle import PickleBuffer
from typing import Any, TypeVar, cast, overload

from procession import _core
from procession._codec import arrays
from procession._codec.apart import READ, Apart, Part, copied, take_apart
from procession._codec.objects import loads

LEAST_SHARED = 4096
"""Bytes. Smaller buffers are copied with what names the large ones."""

_T = TypeVar("_T")

_BYTES = (bytes, bytearray, memoryview, array.array)
_FLAT = frozenset({int, float, complex, bool, str, type(None)})


@overload
def share(obj: bytes | bytearray | memoryview | array.array[Any]) -> Any: ...
@overload
def share(obj: _T) -> _T: ...
def share(obj: object) -> object:
    """Put the large buffers in an object into shared memory, once; returns the object upon them.

    Arrays, frames, tables and what consists of them come back as what they are, read-only.
    ``bytes``, ``bytearray``, ``array.array`` (one of characters stays what it is) and
    ``memoryview`` come back as read-only memoryviews, also those in (nested) lists, tuples, dicts
    and sets; inside of other objects they stay what they are. Passing the result to a task, a
    process, a queue or a pipe, or returning it, sends references only, and so does a contiguous
    slice of it. ``.copy()`` of an array is a private one.

    The memory is given back when no process has such a view any more, or those that had one died.

    Read-only is what numpy and memoryview see to, not the pages: C code that writes by way of a
    bare pointer writes to what all see.

    Args:
        obj: anything that can be pickled. If it has no buffer of at least 4 KiB, or is shared
            already, it is returned as it is.

    Raises:
        ArenaFull: it does not fit into the budget.
        MemoryError: the system has no memory for it.
        TypeError: it is an array of a class derived from numpy's whose pickles hold all of its
            bytes. Inside of something else it is left as it is.
        Exception: whatever pickle raises.
    """
    pins = _core.pins_made()
    try:
        return _shared(obj)
    except BaseException:
        _core.withdraw_pins(pins)
        raise


def _shared(obj: object) -> object:
    pins = _core.pins_made()
    pickled = take_apart(_staged(obj, {}) if _has_bytes(obj, set()) else obj, least=LEAST_SHARED)
    fresh = [part for part in pickled.parts if part.place is None and part.form == READ]
    if not fresh:
        _core.withdraw_pins(pins)
        if not any(part.form == READ for part in pickled.parts):
            _refuse_subclass(obj)
        return obj
    memory = _core.Memory.holding([part.view for part in fresh])
    memory.freeze()
    Apart(b"", fresh).settle(memory, READ)
    whole = memoryview(memory)
    return loads(pickled.inner, buffers=[_buffer(part, memory, whole) for part in pickled.parts])


def _refuse_subclass(obj: object) -> None:
    """Of all that is not shared, one looks like what is."""
    if arrays.is_odd_array(obj):
        kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
        raise TypeError(
            f"an array of type {kind} can not be shared: its pickle holds all of its bytes, and "
            "would be made anew each time. Share np.asarray(x), a plain array, instead"
        )


def _buffer(part: Part, memory: _core.Memory, whole: memoryview) -> object:
    """What stands for a part in the object that is made anew."""
    if part.place is None:  # owns its bytes, whatever they are
        return copied(part.form, part.view)
    if part.place.memory is not memory:
        return part.view
    return whole[part.place.offset : part.place.offset + part.view.nbytes]


class _Bytes:
    """Stands for plain bytes while they are pickled; what is unpickled is a view of them."""

    def __init__(self, value: Any) -> None:
        with memoryview(value) as view:
            self._shape = view.format, view.shape
            self._content = value if view.c_contiguous else view.tobytes()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...]]:
        # Not a memoryview of it: one that is collected with a view of it crashes CPython.
        return _as_view, (PickleBuffer(self._content), *self._shape)


def _as_view(buffer: Any, format: str, shape: tuple[int, ...]) -> memoryview:
    view = memoryview(buffer)
    if (view.format, view.shape) == (format, shape):
        return view
    return view.cast("B").cast(cast(Any, format), shape)


def _is_large(value: Any) -> bool:
    """Whether plain bytes are to be shared: of an array of characters no view can be made."""
    with memoryview(value) as view:
        return view.nbytes >= LEAST_SHARED and arrays.is_castable(view)


def _has_bytes(value: Any, seen: set[int]) -> bool:
    """Whether there are plain bytes to be shared in it, in containers that are rebuilt here."""
    kind = type(value)
    if kind in _BYTES:
        return _is_large(value)
    if kind not in _CONTAINERS or id(value) in seen:
        return False
    seen.add(id(value))
    items: Iterable[Any] = value if kind is not dict else [*value, *value.values()]
    return not {*map(type, items)} <= _FLAT and any(_has_bytes(item, seen) for item in items)


def _staged(value: Any, made: dict[int, Any]) -> Any:
    """The same with plain bytes made ready to be shared. `made`: what was rebuilt already."""
    kind = type(value)
    if id(value) in made:
        return made[id(value)]
    if kind in _BYTES:
        if not _is_large(value):
            return value
        result: Any = _Bytes(value)
    elif kind in _CONTAINERS:
        result = _CONTAINERS[kind](value, made)
    else:
        return value
    # A tuple that is in itself, by way of a list in it, has been rebuilt meanwhile.
    return made.setdefault(id(value), result)


def _staged_list(value: list[Any], made: dict[int, Any]) -> list[Any]:
    result = made[id(value)] = []
    result.extend(_staged(item, made) for item in value)
    return result


def _staged_dict(value: dict[Any, Any], made: dict[int, Any]) -> dict[Any, Any]:
    result = made[id(value)] = {}
    result.update({_staged(key, made): _staged(item, made) for key, item in value.items()})
    return result


def _staged_items(kind: Callable[[Iterable[Any]], Any]) -> Callable[[Any, dict[int, Any]], Any]:
    return lambda value, made: kind([_staged(item, made) for item in value])


_CONTAINERS: dict[type, Callable[[Any, dict[int, Any]], Any]] = {
    list: _staged_list,
    dict: _staged_dict,
    tuple: _staged_items(tuple),
    set: _staged_items(set),
    frozenset: _staged_items(frozenset),
}
