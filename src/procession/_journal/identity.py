"""What a call and an item are known by: names and digests that are the same in the next run.

An item is known by its position and a digest of its pickle, a call by the function's name and by
what the function has captured (arguments of a partial, defaults, closures, an instance's state).
The function's code is a fingerprint beside the name: if it differs, somebody has to decide.
"""

from __future__ import annotations

import functools
import io
import pickle
import types
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, ClassVar, NamedTuple

from procession import _core
from procession._codec.objects import PROTOCOL, dumps

DIGEST_BYTES = 16

_SET_OPCODES = (pickle.EMPTY_SET, pickle.FROZENSET)


class Identity(NamedTuple):
    """What a function is known by.

    Attributes:
        name: "module:qualified name".
        code: a fingerprint of its code; empty where there is none to be seen.
        captured: a digest of what it has captured.
    """

    name: str
    code: str
    captured: bytes


def digest_of(value: object) -> bytes:
    """A digest of an object's pickle. Sets have none that stays the same: they are sorted.

    Raises:
        Exception: what pickle says of an object that can not be pickled.
    """
    pins = _core.pins_made()
    content = dumps(value)
    _core.withdraw_pins(pins)  # it goes nowhere
    if any(opcode in content for opcode in _SET_OPCODES):  # or it looks so, in every run
        content = _in_order(value) or content
    return digest(content)


def digest(content: bytes) -> bytes:
    """A digest of bytes."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def identify(function: Callable[..., Any]) -> Identity:
    """What a function is known by.

    Raises:
        Exception: what pickle says of what it has captured and can not be pickled.
    """
    found = _Found()
    found.look_at(function)
    code = digest("\n".join(found.code).encode()).hex() if found.code else ""
    return Identity(found.name, code, digest(b"".join(found.captured)))


class _Found:
    """What a function consists of."""

    def __init__(self) -> None:
        self.name = ""
        self.code: list[str] = []
        self.captured: list[bytes] = []
        self._seen: set[int] = set()

    def look_at(self, function: Any) -> None:
        if id(function) in self._seen:  # it captured itself
            return
        self._seen.add(id(function))
        if isinstance(function, functools.partial):
            self.look_at(function.func)
            self._capture((function.args, function.keywords))
        elif isinstance(function, types.MethodType):
            self.look_at(function.__func__)
            self._capture(function.__self__)
        elif isinstance(function, types.FunctionType):
            self._look_at_function(function)
        elif isinstance(function, type):
            self._call_it(function)
            self._look_at_class(function)
        elif hasattr(function, "__qualname__"):  # in C: all that can be seen is its name
            self._call_it(function)
        else:
            self._call_it(type(function))
            self._look_at_class(type(function))
            self._capture(function)

    def _call_it(self, named: Any) -> None:
        self.name = self.name or f"{named.__module__}:{named.__qualname__}"

    def _look_at_function(self, function: types.FunctionType) -> None:
        self._call_it(function)
        self.code.append(_code_text(function.__code__))
        for value in (function.__defaults__, function.__kwdefaults__):
            if value:
                self._capture(value)
        for cell in function.__closure__ or ():
            try:
                self._capture(cell.cell_contents)
            except ValueError:  # empty still
                continue

    def _look_at_class(self, kind: type) -> None:
        for each in vars(kind).values():
            code = getattr(getattr(each, "__func__", each), "__code__", None)
            if isinstance(code, types.CodeType):
                self.code.append(_code_text(code))

    def _capture(self, value: Any) -> None:
        if isinstance(value, (types.FunctionType, functools.partial, types.MethodType)):
            self.look_at(value)
        elif isinstance(value, (type, types.ModuleType)):
            self.captured.append(digest(value.__name__.encode()))
        else:
            self.captured.append(digest_of(value))


def _code_text(code: types.CodeType) -> str:
    """All of the code that has a say in what it does: not where it stands, nor its comments."""
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    constants = [_constant_text(value) for value in code.co_consts]
    return repr((code.co_code, names, code.co_argcount, code.co_flags, constants))


def _constant_text(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return _code_text(value)
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_constant_text, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant_text, value))})"
    return f"{type(value).__name__} {value!r}"


def _in_order(value: object) -> bytes | None:
    """The pickle with its sets sorted; None where only by value would do."""
    buffer = io.BytesIO()
    try:
        _InOrder(buffer, PROTOCOL).dump(value)
    except Exception:
        return None
    return buffer.getvalue()


class _InOrder(pickle._Pickler):
    """A pickler whose result nobody will load."""

    dispatch: ClassVar[Any] = pickle._Pickler.dispatch.copy()
    save: Any

    def _save_sorted(self, value: Any) -> None:
        self.save((type(value).__name__, sorted(map(digest_of, value))))

    dispatch[set] = dispatch[frozenset] = _save_sorted
