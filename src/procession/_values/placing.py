"""Plain ctypes objects on shared bytes.

They are of the same classes as all other ctypes objects, so pickle can not tell them by their
class. What makes one of them shared stands in the object itself: an attribute ``__reduce_ex__``,
which pickle asks before the class's. So ctypes objects that are not ours are pickled as ever.
"""

from __future__ import annotations

import ctypes
from typing import Any

from procession._values import beside
from procession._values.memory import BufferWrapper


def place(kind: Any) -> Any:
    """A new object of a ctypes type, all its bytes zero. Its ``__init__`` has not run.

    Raises MemoryError if there is no room for it.
    """
    return _lay(kind, BufferWrapper(ctypes.sizeof(kind)))


def _lay(kind: Any, wrapper: BufferWrapper) -> Any:
    beside.agree()
    laid = kind.from_buffer(wrapper._memory)
    laid.__reduce_ex__ = _Origin(kind, wrapper)
    return laid


class _Origin:
    """How one object of ours is pickled: its type, and where it lies. It does not hold it."""

    __slots__ = ("kind", "wrapper")

    def __init__(self, kind: Any, wrapper: BufferWrapper) -> None:
        self.kind = kind
        self.wrapper = wrapper

    def __call__(self, protocol: object) -> tuple[object, ...]:
        return _restore, (self,)

    def __reduce__(self) -> tuple[object, ...]:
        # By now somebody pickles. What arrives in our place is the object itself.
        kind, lengths = self.kind, []
        while issubclass(kind, ctypes.Array) and kind is kind._type_ * kind._length_:
            lengths.append(kind._length_)  # a class that no module has
            kind = kind._type_
        return _arrive, (kind, tuple(lengths), self.wrapper)

    def __deepcopy__(self, _: object) -> _Origin:
        return self


def _restore(what: Any) -> Any:
    """What arrived as it is; for the module ``copy``, which takes no detour, a private copy."""
    if isinstance(what, _Origin):
        return what.kind.from_buffer_copy(what.wrapper._memory)
    return what


def _arrive(kind: Any, lengths: tuple[int, ...], wrapper: BufferWrapper) -> Any:
    for length in reversed(lengths):
        kind = kind * length
    return _lay(kind, wrapper)
