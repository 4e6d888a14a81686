"""Whether objects have a part in common that one of them could change for the other.

A look, not a proof: it costs a tenth of a microsecond for each, and what it does not know it takes
for tied.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any

from procession._codec.objects import reducers

_Parts = Callable[[Any], Iterable[Any]]

_UNCHANGING = frozenset({type(None), bool, int, float, complex, str, bytes, range})
"""Types of what nobody can tell from a copy, but by ``is``."""

_LEVELS = 4  # of objects within objects
_MANY = 16  # parts for each object. To pickle more takes so long that a look does not pay.

_HEAP_TYPE = 1 << 9  # of a type's flags: it was made by a class statement


class _Unknown:
    """Stands for a part that is not looked at."""

    __slots__ = ()


_unknown = (_Unknown(),)


def _none(_: Any) -> Iterable[Any]:
    return ()


_containers: dict[type, _Parts] = {
    tuple: iter,
    list: iter,
    set: iter,
    frozenset: iter,
    dict: lambda a: chain(a, a.values()),
    bytearray: _none,
}


def are_untied(objects: Sequence[Any]) -> bool:
    """Whether it makes no difference if they are pickled together or one by one; to be unpickled
    they need no code of the user's. False also where that is not easily seen."""
    level: list[Any] = [*objects]
    most = _MANY * len(level)
    met: set[int] = set()
    for _ in range(_LEVELS):
        kinds = {*map(type, level)} - _UNCHANGING
        if not kinds:
            return True
        below: list[Any] = []
        for kind in kinds:
            parts = _parts(kind)
            if parts is None:
                return False
            those = [one for one in level if type(one) is kind]
            if kind is not tuple and kind is not frozenset:
                size = len(met) + len(those)
                met.update(map(id, those))
                if len(met) != size:
                    return False
            below += islice(chain.from_iterable(map(parts, those)), most + 1)
        if len(below) > most:
            return False
        level = below
    return False


def _parts(kind: type) -> _Parts | None:
    """Gives the parts of an instance; None: they are not known."""
    found = _containers.get(kind)
    if found is not None:
        return found
    if kind in reducers.table:
        return None
    numpy = sys.modules.get("numpy")
    if kind.__module__ == "numpy" and numpy is not None:
        return _of_numpy(kind, numpy)
    return _values if _is_plain(kind) else None


def _of_numpy(kind: type, numpy: Any) -> _Parts | None:
    if kind is numpy.ndarray:
        return lambda a: _unknown if a.dtype.hasobject else ()
    is_scalar = issubclass(kind, numpy.generic) and not issubclass(kind, numpy.void)
    return _none if is_scalar else None


def _values(instance: object) -> Iterable[Any]:
    return vars(instance).values()


def _is_plain(kind: Any) -> bool:
    """Whether pickle takes an instance for its ``__dict__`` and nothing else."""
    return (
        kind.__dictoffset__ != 0
        and kind not in copyreg.dispatch_table
        and kind.__new__ is object.__new__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__getstate__ is object.__getstate__
        and not any(hasattr(kind, name) for name in _HOOKS)
        and all(_is_plainly_made(base) for base in kind.__mro__[:-1])
    )


_HOOKS = ("__getnewargs__", "__getnewargs_ex__", "__setstate__", "__slots__")


def _is_plainly_made(base: type) -> bool:
    return bool(base.__flags__ & _HEAP_TYPE)
