"""What a function sent by value drags along, and whether its calls leave something behind in it.

Workers keep a function that they have loaded. One that has a state of its own they do not: what one
call writes there the next one would see, which a function that travels with each call never does.
"""

from __future__ import annotations

import contextlib
import dis
import re
import sys
import types
from typing import Any

BY_NAME = (types.FunctionType, types.BuiltinFunctionType, type)

PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None), type(...)})

_CONSTANT = PLAIN | {range, re.Pattern}

_REBINDING = frozenset({"STORE_DEREF", "DELETE_DEREF"})


def cell_contents(function: types.FunctionType) -> list[Any]:
    """What is in a function's cells, but for those not filled yet."""
    contents = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):
            contents.append(cell.cell_contents)
    return contents


def captured(function: Any) -> tuple[Any, ...] | None:
    """What a function sent by value drags along, where all of it is unchanging.

    None when something in it can change without our seeing it.
    """
    if not isinstance(function, types.FunctionType):
        return None
    contents = cell_contents(function)
    if function.__dict__ or len(contents) < len(function.__closure__ or ()):
        return None
    scope = function.__globals__
    values = [
        *_defaults(function),
        *contents,
        *(scope[name] for name in _names(function.__code__) if name in scope),
    ]
    return tuple(values) if all(map(_is_unchanging, values)) else None


def has_state(function: Any) -> bool:
    """Whether calls of a function sent by value may leave something behind in its cells, default
    values or attributes. What they do to globals is not asked."""
    return not _is_stateless(function, set())


def _is_stateless(function: Any, seen: set[int]) -> bool:
    if not isinstance(function, types.FunctionType) or id(function) in seen:
        return True
    seen.add(id(function))
    attributes = function.__dict__
    if attributes.keys() - {"__wrapped__"}:
        return False
    code = function.__code__
    if _rebinds(code, frozenset(code.co_freevars)):
        return False
    values = [*_defaults(function), *cell_contents(function), *attributes.values()]
    return all(_is_constant(value, seen) for value in values)


def _is_constant(value: Any, seen: set[int]) -> bool:
    if type(value) in _CONSTANT or isinstance(value, types.ModuleType):
        return True
    if type(value) in (tuple, frozenset):
        return all(_is_constant(part, seen) for part in value)
    if not isinstance(value, BY_NAME):
        return False
    if is_importable(value):
        return True
    return isinstance(value, types.FunctionType) and _is_stateless(value, seen)


def _rebinds(code: types.CodeType, names: frozenset[str]) -> bool:
    """Whether a function's code, or that of a function inside it, assigns to one of these."""
    if not names:
        return False
    for step in dis.get_instructions(code):
        if step.opname in _REBINDING and step.argval in names:
            return True
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return any(_rebinds(one, names & frozenset(one.co_freevars)) for one in inner)


def _defaults(function: types.FunctionType) -> list[Any]:
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _names(code: types.CodeType) -> list[str]:
    """The names that a function's code, and the functions inside it, may look up."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return names


def _is_unchanging(value: Any) -> bool:
    """Whether a captured value is, for the workers, the same as long as it is the same object."""
    if type(value) in PLAIN or isinstance(value, types.ModuleType):
        return True
    if type(value) in (tuple, frozenset):
        return all(map(_is_unchanging, value))
    return isinstance(value, BY_NAME) and is_importable(value)


def is_importable(value: Any) -> bool:
    """Whether a function or class travels by a name that all processes know."""
    module = getattr(value, "__module__", None)
    if module is None or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value
