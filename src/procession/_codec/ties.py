"""Whether objects have a part in common that one of them could change for the other.

A look, not a proof: it costs a tenth of a microsecond for each, and what it does not know it takes
for tied.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, islice
from types import GetSetDescriptorType
from typing import Any

from procession._codec.objects import reducers

_Parts = Callable[[Any], Iterable[Any]]

_UNCHANGING = frozenset(map(id, (type(None), bool, int, float, complex, str, bytes, range)))
"""Types, by identity, of what nobody can tell from a copy but by ``is``."""

_LEVELS = 4  # of objects within objects
_MANY = 16  # parts for each object. To pickle more takes so long that a look does not pay.
_KINDS = 16  # types on each level

_HEAP_TYPE = 1 << 9  # of a type's flags: it was made by a class statement


class _Unknown:
    """Stands for a part that is not looked at."""

    __slots__ = ()


_unknown = (_Unknown(),)


def _none(_: Any) -> Iterable[Any]:
    return ()


def _of_dict(mapping: dict[Any, Any]) -> Iterable[Any]:
    return mapping.values() if _have_no_code(mapping) else _unknown


def _of_set(members: Collection[Any]) -> Iterable[Any]:
    return () if _have_no_code(members) else _unknown


def _have_no_code(keys: Collection[Any]) -> bool:
    """Whether to put them in a table needs no code of the user's; and they are not many."""
    return len(keys) <= _MANY and all(map(is_unchanging, keys))


_containers: tuple[tuple[type, _Parts], ...] = (
    (tuple, iter),
    (list, iter),
    (dict, _of_dict),
    (set, _of_set),
    (frozenset, _of_set),
    (bytearray, _none),
)


def is_unchanging(value: Any) -> bool:
    """Whether it can be seen at once that a value, and all its parts, will never change: a plain
    one, a number of numpy's, or a tuple of such."""
    kind = type(value)
    if id(kind) in _UNCHANGING:
        return True
    if kind is tuple:
        return _UNCHANGING.issuperset(map(id, map(type, value))) or all(map(is_unchanging, value))
    return kind.__module__ == "numpy" and _parts(kind) is _none


def are_untied(objects: Sequence[Any]) -> bool:
    """Whether it makes no difference if they are pickled together or one by one; to be unpickled
    they need no code of the user's but their modules. False also where that is not easily seen."""
    level: list[Any] = [*objects]
    most = _MANY * len(level)
    met: set[int] = set()
    for _ in range(_LEVELS):
        # By identity: a metaclass may say that two of its classes are equal.
        kinds = {id(kind): kind for kind in map(type, level)}
        if kinds.keys() <= _UNCHANGING:
            return True
        if len(kinds) > _KINDS:
            return False
        below: list[Any] = []
        for number, kind in kinds.items():
            if number in _UNCHANGING:
                continue
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
    for known, parts in _containers:
        if kind is known:
            return parts
    try:
        if kind in reducers.table or kind in copyreg.dispatch_table:
            return None
    except Exception:  # a metaclass without a hash
        return None
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind.__module__ == "numpy":
        return _of_numpy(kind, numpy)
    return _values if type(kind) is type and _is_plain(kind) else None


def _of_numpy(kind: type, numpy: Any) -> _Parts | None:
    if kind is numpy.ndarray:
        return _of_array
    is_scalar = issubclass(kind, numpy.generic) and not issubclass(kind, numpy.void)
    return _none if is_scalar else None


def _of_array(array: Any) -> Iterable[Any]:
    dtype = array.dtype
    has_parts = dtype.hasobject or dtype.fields is not None or dtype.metadata is not None
    return _unknown if has_parts else ()


def _values(instance: object) -> Iterable[Any]:
    return vars(instance).values()


def _is_plain(kind: Any) -> bool:
    """Whether pickle takes an instance for its ``__dict__`` and nothing else, and asks none of the
    user's code for it."""
    module = sys.modules.get(kind.__module__)
    is_importable = kind.__module__ == "__main__" or getattr(module, "__spec__", None) is not None
    return (
        is_importable
        and kind.__dictoffset__ != 0
        and kind.__new__ is object.__new__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__getstate__ is object.__getstate__
        and kind.__getattribute__ is object.__getattribute__
        and not any(hasattr(kind, name) for name in _HOOKS)
        and all(_is_plainly_made(base) for base in kind.__mro__[:-1])
    )


_HOOKS = ("__getattr__", "__getnewargs__", "__getnewargs_ex__", "__setstate__", "__slots__")


def _is_plainly_made(base: type) -> bool:
    is_by_statement = bool(base.__flags__ & _HEAP_TYPE)
    return is_by_statement and type(vars(base).get("__dict__")) in _PLAIN_DICTS


_PLAIN_DICTS = (GetSetDescriptorType, type(None))
"""Of a class that brings the attribute, and of one whose base does."""
