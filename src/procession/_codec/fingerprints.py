"""Whether two processes have the same code under one name: a number for each, to be compared."""

from __future__ import annotations

import copyreg
import types
import weakref
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from procession._codec.captured import BY_NAME, PLAIN, cell_contents
from procession._codec.objects import reducers

_CODE_OF_A_CLASS = (types.FunctionType, staticmethod, classmethod, property, type)


def fingerprint(function: Any) -> int:
    """A number that changes when the code of a function, or of a class's methods, does.

    Only what no run of the program changes goes into it: code, plain default values, and the
    functions that a decorator has wrapped; of a callable with a state of its own the code that it
    runs.
    """
    return _sum_of(tuple(_code_of(function)), 0, set())


def quick_fingerprint(function: Any) -> int:
    """The same for a callable that travels with each call: what was computed is remembered, while
    the functions and classes that it runs are the same objects."""
    sums = [_remembered(code) for code in _code_of(function)]
    return zlib.crc32(repr(sums).encode())


def quick_fingerprint_if_of_main(function: Any) -> int | None:
    """That, if another process may have other code under the names that stand for it."""
    if arrives_as_it_is(function):
        for code in _code_of(function):
            if getattr(code, "__module__", None) == "__main__":
                return quick_fingerprint(function)
    return None


_REMEMBERED = 256
_sums: dict[int, tuple[weakref.ref[Any], Any, int]] = {}  # by id(): what, its code, the sum


def _remembered(function: Any) -> int:
    found = _sums.get(id(function))
    code = getattr(function, "__code__", None)
    if found is not None and found[0]() is function and found[1] is code:
        return found[2]
    total = _sum_of(function, 0, set())
    try:
        reference = weakref.ref(function)
    except TypeError:  # a builtin function
        return total
    if len(_sums) >= _REMEMBERED:
        _sums.clear()
    _sums[id(function)] = reference, code, total
    return total


def _code_of(function: Any) -> Iterator[Any]:
    """The functions and classes that a callable runs, as far as that is told by looking at it."""
    if isinstance(function, BY_NAME):
        yield function
    elif isinstance(function, partial):
        yield from _code_of(function.func)
        for argument in (*function.args, *function.keywords.values()):
            if isinstance(argument, (types.FunctionType, type)):
                yield argument
    elif isinstance(function, types.MethodType):
        yield function.__func__
        yield type(function.__self__)
    else:
        yield type(function)


def arrives_as_it_is(function: Any) -> bool:
    """Whether what is unpickled elsewhere is of the same kind: nothing else is pickled for it."""
    if isinstance(function, BY_NAME):
        return True
    if isinstance(function, partial):
        return arrives_as_it_is(function.func)
    if isinstance(function, types.MethodType):
        function = function.__self__
        if isinstance(function, type):
            return True
    kind, plainest = type(function), cast(Any, object)
    return (
        kind.__reduce__ is plainest.__reduce__
        and kind.__reduce_ex__ is plainest.__reduce_ex__
        and kind not in copyreg.dispatch_table
        and kind not in reducers.table
    )


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
        for content in cell_contents(value):
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
    if type(value) in PLAIN:
        return zlib.crc32(repr(value).encode("utf-8", "surrogatepass"), total)
    return zlib.crc32(type(value).__qualname__.encode(), total)


def _sum_of_code(code: types.CodeType, total: int, seen: set[int]) -> int:
    total = zlib.crc32(code.co_code, total)
    signature = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars
    total = zlib.crc32(repr((signature, names)).encode("utf-8", "surrogatepass"), total)
    return _sum_of(code.co_consts, total, seen)
