"""What was pickled, in short, for people: without running any of its code.

The arguments of a task that killed its worker may well be what killed it. So nothing here is
unpickled for real: every class and function in the pickle becomes a stand-in that remembers its
name.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from typing import Any, Self

from procession._codec.apart import BYTEARRAY, BYTES, TEXT, opened
from procession._codec.objects import short_repr


class _Name(type):
    """A class or function of the pickle."""

    def __repr__(cls) -> str:
        return cls.__name__


class _StandIn(metaclass=_Name):
    """An object of the pickle."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Whatever it would be made of."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def _ignore(self, *args: Any) -> None:
        """The pickle fills the object."""

    __setstate__ = append = extend = add = __setitem__ = _ignore


class _Buffer(bytes):
    """What lies beside the pickle, and is not looked at."""

    text = "…"

    def __repr__(self) -> str:
        return self.text

    @classmethod
    def of(cls, form: int) -> _Buffer:
        """One that the receiver would make something of."""
        buffer = cls()
        buffer.text = _FORMS.get(form, "…")
        return buffer


_FORMS = {BYTES: "b'…'", BYTEARRAY: "bytearray(b'…')", TEXT: "'…'"}

_NICKNAMES = {"_frombuffer": "array"}  # of numpy


class _Outliner(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for a class or function; nothing is imported."""
        if (module, name) == (opened.__module__, opened.__name__):
            return _outline_apart
        return _Name(_NICKNAMES.get(name, name), (_StandIn,), {})


def _outline_apart(layout: Any, inner: Any) -> Any:
    _, parts = layout
    return outline(inner, (_Buffer.of(form) for *_, form in parts))


def outline(payload: Any, buffers: Iterable[Any] = ()) -> Any:
    """The pickled object, with stand-ins for all that is not plain data.

    Args:
        buffers: what stands for those that lie beside the pickle.

    Raises:
        Exception: it is no pickle, or one that insists on real classes.
    """
    return _Outliner(io.BytesIO(payload), buffers=buffers).load()


def outline_call(name: str, payload: Any) -> str:
    """``f(1, x=2)`` from a pickle that ends in arguments and keywords; shortened."""
    try:
        *_, args, kwds = outline(payload)
        words = [short_repr(argument) for argument in args]
        if isinstance(kwds, Mapping):
            words += [f"{key}={short_repr(value)}" for key, value in kwds.items()]
    except Exception:
        return f"{name}(…)"
    return f"{name}({', '.join(words)})"
