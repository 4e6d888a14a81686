"""Arrays in files (``numpy.memmap``) as arguments: who receives one opens the file itself.

They are looked for among the arguments of each task, and in lists, tuples and dicts of moderate
length there. A view of such an array is opened as well, as long as it goes forward; one with
changes that are not in the file (mode "c") is copied like any other.
"""

from __future__ import annotations

import mmap
import os
import sys
from importlib import import_module
from typing import Any

_MOST = 100  # items of a container that is looked through
_DEEPEST = 3
_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})


class InFile:
    """Pickled in the place of an array whose bytes are those of a file.

    Args:
        array: the array.
        opened: the array that numpy made of the whole mapping; it knows the file.
    """

    __slots__ = ("_array", "_opened")

    def __init__(self, array: Any, opened: Any) -> None:
        self._array = array
        self._opened = opened

    def __reduce__(self) -> tuple[Any, ...]:
        array, opened = self._array, self._opened
        mode = "r+" if opened.mode == "w+" else opened.mode
        begin = opened.offset + _address(array) - _address(opened)
        order = "C" if array.flags.c_contiguous else "F"
        strides = None if array.flags.forc else array.strides
        name = os.fspath(opened.filename)
        return open_again, (name, mode, begin, array.dtype, array.shape, order, strides)


def open_again(
    name: str,
    mode: str,
    begin: int,
    dtype: Any,
    shape: tuple[int, ...],
    order: str,
    strides: tuple[int, ...] | None,
) -> Any:
    """The array in this file."""
    numpy: Any = import_module("numpy")
    if strides is None:
        return numpy.memmap(name, dtype, mode, begin, shape, order)
    length = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + dtype.itemsize
    whole = numpy.memmap(name, numpy.uint8, mode, begin, (length,))
    return numpy.ndarray(shape, dtype, whole, strides=strides)


def name_files(tasks: Any) -> None:
    """Put ``InFile`` in the places of all arrays in files among the arguments of a batch."""
    numpy = sys.modules.get("numpy")
    items = getattr(tasks, "items", None)
    if numpy is None or type(items) is not list:
        return
    for place, (function, args, kwargs) in enumerate(items):
        if not kwargs and _PLAIN.issuperset(map(type, args)):
            continue
        found = _named((args, kwargs), numpy, _DEEPEST)
        if found is not None:
            items[place] = (function, *found)


def _named(value: Any, numpy: Any, depth: int) -> Any:
    """The same with ``InFile`` in it; None if there is nothing to put there."""
    kind = type(value)
    if kind is numpy.ndarray or kind is numpy.memmap:
        opened = _opened(value, numpy)
        return None if opened is None else InFile(value, opened)
    if kind not in (tuple, list, dict) or not depth or len(value) > _MOST:
        return None
    parts = value.values() if kind is dict else value
    named = [_named(part, numpy, depth - 1) for part in parts]
    if not any(part is not None for part in named):
        return None
    new = [old if part is None else part for old, part in zip(parts, named, strict=True)]
    return dict(zip(value, new, strict=True)) if kind is dict else kind(new)


def _opened(array: Any, numpy: Any) -> Any:
    """The array that knows the file in which another one lies; None if there is none, or it can
    not be told by that."""
    opened = array
    while not isinstance(opened.base, mmap.mmap):
        opened = opened.base
        if not isinstance(opened, numpy.ndarray):
            return None
    if not isinstance(opened, numpy.memmap) or opened.filename is None or opened.mode == "c":
        return None
    if not array.size or min(array.strides, default=0) < 0 or not os.path.exists(opened.filename):
        return None
    return opened


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
