"""Finds the function of ``procession map``, so that workers find it by the same name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


class NoSuchFunction(Exception):
    """It can not be found: says why."""


def find_function(named: str) -> Callable[..., Any]:
    """The function that "module:function" or "path/to/file.py:function" names.

    Raises:
        NoSuchFunction: there is none, or it can not be called.
        Exception: what its module raises when it is imported.
    """
    place, colon, name = named.rpartition(":")
    if not (place and colon and name):
        raise NoSuchFunction(
            f"{named!r} names no function: write module:function or path/to/file.py:function"
        )
    found = _import_file(place) if place.endswith(".py") else _import_module(place)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise NoSuchFunction(f"there is no {part!r} in {place}") from None
    if not callable(found):
        raise NoSuchFunction(f"{named} is no function, but {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def _import_module(name: str) -> Any:
    if not sys.flags.safe_path:
        _look_in(os.getcwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports something that is not
        raise NoSuchFunction(
            f"there is no module {error.name!r}; modules are looked for here and where Python is "
            "installed (for a file elsewhere: path/to/file.py:function)"
        ) from None


def _import_file(path: str) -> Any:
    absolute = os.path.realpath(path)
    if not os.path.isfile(absolute):
        raise NoSuchFunction(f"there is no file {path!r}")
    name = os.path.basename(absolute).removesuffix(".py")
    if not name.isidentifier():
        raise NoSuchFunction(f"{path!r} can not be imported: {name!r} is no name of a module")
    _look_in(os.path.dirname(absolute))
    module = import_module(name)
    if os.path.realpath(getattr(module, "__file__", None) or "") != absolute:
        raise NoSuchFunction(
            f"{path!r} can not be imported: there is another module {name!r}; rename the file"
        )
    return module


def _look_in(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
