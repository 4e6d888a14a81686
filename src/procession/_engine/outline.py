"""What was pickled, in short, for people: without running any of its code.

The arguments of a task that killed its worker may well be what killed it. So nothing here is
unpickled for real: every class and function in the pickle becomes a stand-in that remembers its
name.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any, Self

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


class _Outliner(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for a class or function; nothing is imported."""
        return _Name(name, (_StandIn,), {})


def outline(payload: Any) -> Any:
    """The pickled object, with stand-ins for all that is not plain data.

    Raises:
        Exception: it is no pickle, or one that insists on real classes.
    """
    return _Outliner(io.BytesIO(payload)).load()


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
