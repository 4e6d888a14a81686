"""Errors on their way from a worker to the caller.

An exception travels three times over: as its pickle, as text, and with the worker's
traceback. The caller gets the exception itself where its pickle loads, with the
traceback as ``__cause__``; else a ``RemoteError`` made of the text. So no exception can
fail to arrive, whatever its own methods do.

Many exception classes take other arguments than those they hand on to ``Exception``, and
so can be pickled but not loaded. They are made here without their ``__init__``, with the
attributes that they had.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import traceback
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

from procession._codec import arrays
from procession._codec.objects import PROTOCOL, loads, short_repr
from procession.errors.pool import RemoteError, RemoteTraceback

MOST_TEXT = 200_000
"""Characters of an error's text, and of its traceback. The error itself is not cut."""


def encode_exception(error: BaseException, *, skip_frames: int = 0) -> bytes:
    """``error`` as bytes; ``skip_frames`` leaves out our own frames above the user's."""
    trace = error.__traceback__
    for _ in range(skip_frames):
        if trace is not None:
            trace = trace.tb_next
    kind = type(error)
    # BaseException in all of these: they run the user's code, which must not end the worker.
    try:
        text = "".join(traceback.format_exception(kind, error, trace))
    except BaseException as failure:
        text = f"(the traceback of {kind.__name__} can not be printed: {short_repr(failure)})\n"
    try:
        message = str(error)
    except BaseException as failure:
        message = f"(str() of it raised {short_repr(failure)})"
    text, message = _cut(text), _cut(message)
    try:
        notes = [str(note) for note in getattr(error, "__notes__", None) or ()]
    except BaseException as failure:
        notes = [f"(its notes can not be read: {short_repr(failure)})"]
    try:
        pickled: bytes | None = _dumps(error)
    except BaseException:
        pickled = None
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return pickle.dumps((pickled, name, message, notes, text), PROTOCOL)


def encode_raised(error: BaseException, own: Mapping[str, Any]) -> bytes:
    """What a call raised, without the lines of the module that called, whose globals are `own`."""
    ours = 0
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is own:
        ours += 1
        trace = trace.tb_next
    return encode_exception(error, skip_frames=ours)


def _cut(text: str) -> str:
    """A text that somebody is to read; that of an array of a gigabyte nobody does."""
    left = len(text) - MOST_TEXT
    half = MOST_TEXT // 2
    return text if left <= 0 else f"{text[:half]}\n... {left:,} characters ...\n{text[-half:]}"


def decode_exception(payload: bytes | memoryview) -> BaseException:
    """What ``encode_exception`` encoded, ready to be raised.

    Raises:
        KeyboardInterrupt: which is the caller's own; nothing else.
    """
    pickled, name, message, notes, text = loads(payload)
    error: BaseException | None = None
    if pickled is not None:
        try:
            error = loads(pickled)
            # Those with a __reduce__ of their own may leave the notes behind.
            if notes and not getattr(error, "__notes__", None):
                vars(error)["__notes__"] = list(notes)
        except KeyboardInterrupt:
            raise
        except BaseException as failure:
            notes = [*notes, f"(its pickle does not load here: {short_repr(failure)})"]
            error = None
    if not isinstance(error, BaseException):
        error = RemoteError(name, message, notes, text)
    # Past the class's own __setattr__: a frozen dataclass's, for one, forbids it.
    BaseException.__setattr__(error, "__cause__", RemoteTraceback(f'\n"""\n{text}"""'))
    return error


def _dumps(error: BaseException) -> bytes:
    file = io.BytesIO()
    try:
        pickler = pickle.Pickler(file, PROTOCOL)
        arrays.look_around()
        pickler.dispatch_table = _Reducers(ChainMap(copyreg.dispatch_table, arrays.table))
        pickler.dump(error)
    except Exception:
        import cloudpickle

        class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
            dispatch_table = _Reducers(ChainMap(arrays.table, cloudpickle.Pickler.dispatch_table))

        file = io.BytesIO()
        ByValue(file, PROTOCOL).dump(error)
    return file.getvalue()


class _Reducers(dict[type, Callable[[Any], Any]]):
    """A pickler's table of reducers, in which all exceptions stand that have none of their own."""

    def __init__(self, others: Mapping[Any, Callable[[Any], Any]]) -> None:
        super().__init__()
        self._others = others

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        reducer = self._others.get(kind)
        if reducer is not None:
            return reducer
        if (
            issubclass(kind, BaseException)
            and kind.__reduce__ is BaseException.__reduce__
            and kind.__reduce_ex__ is BaseException.__reduce_ex__
        ):
            return _reduce
        raise KeyError(kind)


def _reduce(error: BaseException) -> tuple[Any, ...]:
    # The state apart, and last: it may refer to the exception itself.
    return _rebuild, (type(error), error.args), vars(error) or None, None, None, _set_state


def _rebuild(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    try:
        error = kind(*args)
    except Exception:
        error = kind.__new__(kind, *args)
        # What the interpreter itself keeps beside the attributes (SystemExit's code).
        builtin: Any = next(base for base in kind.__mro__ if base.__module__ == "builtins")
        builtin.__init__(error, *args)
    # Its __init__ may have made something else of them (``super().__init__(f"no {name}")``).
    BaseException.__setattr__(error, "args", args)
    return error


def _set_state(error: BaseException, state: dict[str, Any]) -> None:
    if type(error).__setstate__ is BaseException.__setstate__:
        vars(error).update(state)
    else:
        error.__setstate__(state)
