"""Errors on their way from a worker to the caller.

An exception travels three times over: as its pickle, as text, and with the worker's
traceback. The caller gets the exception itself where its pickle loads, with the
traceback as ``__cause__``; else a ``RemoteError`` made of the text. So no exception can
fail to arrive.
"""

from __future__ import annotations

import traceback

from procession._codec.objects import dumps, loads
from procession.errors.pool import RemoteError, RemoteTraceback


def encode_exception(error: BaseException, *, skip_frames: int = 0) -> bytes:
    """``error`` as bytes; ``skip_frames`` leaves out our own frames above the user's."""
    trace = error.__traceback__
    for _ in range(skip_frames):
        if trace is not None:
            trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as failure:
        text = f"(the traceback of {type(error).__name__} can not be printed: {failure!r})\n"
    try:
        message = str(error)
    except Exception as failure:
        message = f"(str() of it raised {failure!r})"
    notes = [str(note) for note in getattr(error, "__notes__", None) or ()]
    try:
        pickled: bytes | None = dumps(error)
    except Exception:
        pickled = None
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return dumps((pickled, name, message, notes, text))


def decode_exception(payload: bytes | memoryview) -> BaseException:
    """What ``encode_exception`` encoded, ready to be raised. Never raises itself."""
    pickled, name, message, notes, text = loads(payload)
    error: BaseException | None = None
    if pickled is not None:
        try:
            error = loads(pickled)
        except Exception as failure:
            notes = [*notes, f"(its pickle does not load here: {failure!r})"]
    if not isinstance(error, BaseException):
        error = RemoteError(name, message, notes, text)
    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    return error
