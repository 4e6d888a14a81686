"""One task in a worker: decode, call, encode. Every outcome is an answer.

Nothing that a task does may end the loop but the end of the process: what it raises is
its answer, ``SystemExit`` and ``KeyboardInterrupt`` too, and a result that can not be
pickled is a ``MaybeEncodingError``.

The items of a range are run by the core (``Channel.run``), which notes each one's beginning and
outcome where a death can not reach them. It encodes simple results itself, and asks here for the
others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from procession._codec import messages
from procession._codec.buffers import dumps_answer
from procession._codec.exceptions import encode_raised
from procession._codec.fingerprints import quick_fingerprint
from procession._codec.functions import ANEW_FOR_EACH, FunctionCache, FunctionMissing
from procession._codec.items import Items, loads_items, since
from procession._codec.objects import loads, quick_loads, reducers
from procession._core import Channel, quick_dumps
from procession._worker.state import here
from procession._worker.stopping import leave_out_the_handler
from procession.errors.pool import MaybeEncodingError, TaskTimeout

Encoded = bytes | tuple[bytes, list[memoryview]]
"""A pickle, or one and the buffers that travel beside it."""

Answer = tuple[int, bytes] | tuple[int, bytes, list[memoryview]]
"""The kind, and what was encoded."""

_STARRED = frozenset({messages.STARMAP, messages.STAREACH})
_STOPPING = frozenset({messages.MAP, messages.STARMAP})
_NOTHING: dict[str, Any] = {}
_MAIN = b"__main__"


def encode_item(value: Any) -> Encoded:
    """A result as it travels.

    Raises:
        MaybeEncodingError: it can not be pickled.
    """
    try:
        return dumps_answer(value)
    except Exception as error:
        raise MaybeEncodingError(error, value) from None


def encode_error(error: BaseException) -> bytes:
    """What a call raised, or ``encode_item`` for its result; without our own lines."""
    if type(error) is TaskTimeout:
        leave_out_the_handler(error)
    return encode_raised(error, globals())


def encode_items_error(error: BaseException) -> bytes:
    """The same for an item of a range.

    Raises:
        _MainLacks, FunctionMissing: it is that, which is no item's outcome.
    """
    if type(error) is _MainLacks or type(error) is FunctionMissing:
        raise error
    return encode_error(error)


def encode_value(value: Any) -> Answer:
    """A result as an answer of kind VALUE, or of kind ERROR if it can not be pickled."""
    try:
        encoded = encode_item(value)
    except MaybeEncodingError as error:
        return messages.ERROR, encode_error(error)
    if isinstance(encoded, tuple):
        return messages.VALUE, *encoded
    return messages.VALUE, encoded


class Invoker:
    """Runs the tasks of one worker.

    Attributes:
        known: the functions that are loaded, by number.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._functions = FunctionCache(channel)
        self.known = here.known = self._functions.known

    def invoke(
        self, kind: int, function: int, code: int, payload: bytes | memoryview, first: int
    ) -> Answer | None:
        """Run one task, or a range of items from `first` on; never raises in the worker.

        A child that the task has forked is none: what it raises ends it.

        Returns None for a range, which is answered by then.
        """
        try:
            # The hot path: no call of ours but pickle's own.
            if kind == messages.CALL or kind == messages.CALL_ONE:
                call = self.known.get(function) or self._load(function, code)
                if kind == messages.CALL_ONE:
                    value = call(quick_loads(payload))
                else:
                    args, kwds = quick_loads(payload)
                    value = call(*args, **kwds)
                try:
                    if len(reducers.table) == reducers.harmless:
                        pickled = quick_dumps(value)
                        if pickled is not None:
                            return messages.VALUE, pickled
                except Exception:
                    pass
                return encode_value(value)
            what = kind & messages.KIND_MASK
            if what == messages.CARRIED_CALL:
                *expected, call, args, kwds = loads(payload)
                here.carried = call
                if expected and expected[0] != quick_fingerprint(call):
                    raise _MainLacks(RuntimeError(f"{call!r} has changed since this worker began"))
            else:
                call = self.known.get(function) or self._load(function, code)
                if what == messages.CALL:
                    args, kwds = loads(payload)
                elif what == messages.CALL_ONE:
                    args, kwds = (loads(payload),), _NOTHING
                elif what == messages.STAR_ONE:
                    args, kwds = loads(payload), _NOTHING
                else:
                    self._channel.run(
                        call,
                        _items(payload, first),
                        what in _STARRED,
                        what in _STOPPING,
                        bool(kind & messages.TIMED),
                        encode_item,
                        encode_items_error,
                    )
                    return None
            if kind & messages.GUARDED:
                return encode_value(self._channel.guarded(call, args, kwds))
            return encode_value(call(*args, **kwds))
        except FunctionMissing:
            return messages.BY_VALUE, b""
        except _MainLacks as lack:
            if self._channel.forked():
                raise lack.error from None
            return messages.ARGUMENTS_BY_VALUE, encode_error(lack.error)
        except BaseException as error:
            if self._channel.forked():
                raise
            missing = isinstance(error, AttributeError) and _lacks_main(error, payload)
            answer = messages.ARGUMENTS_BY_VALUE if missing else messages.ERROR
            return answer, encode_error(error)

    def outcome(self, value: Any, error: BaseException | None) -> Answer:
        """The answer to a simple call that the core has run: it returned, or raised an error."""
        try:
            return encode_value(value) if error is None else (messages.ERROR, encode_error(error))
        except BaseException as another:
            if self._channel.forked():
                raise
            return messages.ERROR, encode_error(another)

    def _load(self, number: int, code: int) -> Callable[..., Any]:
        """A function that is not known: not yet, or because it has a state of its own.

        One that each item shall have anew is loaded by each call of what is returned.
        """
        if not number & ANEW_FOR_EACH:
            here.carried = function = self._functions.load(number, code)
            return function
        make = self._functions.maker(number, code)

        def call(*args: Any) -> Any:
            here.carried = function = make()
            return function(*args)

        return call


class _MainLacks(Exception):
    """An item is made of something that this process's main module has not, or has otherwise.

    Attributes:
        error: what is to be said if it is in vain to send it by value.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Watched:
    """Items that are unpickled one by one. Raises _MainLacks, if that is so."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except AttributeError as error:
            if _says_main_lacks(error):
                raise _MainLacks(error) from None
            raise


def _items(payload: bytes | memoryview, first: int) -> Iterable[Any]:
    """The items of a range, from that one on."""
    items = loads_items(payload)
    if type(items) is Items and items.names(_MAIN):
        return _Watched(items.since(first))
    return since(items, first)


def _says_main_lacks(error: AttributeError) -> bool:
    return f" on {sys.modules.get('__main__')!r}" in str(error)


def _lacks_main(error: AttributeError, payload: bytes | memoryview) -> bool:
    """Whether the arguments are made of something that this process's main module has not."""
    if not _says_main_lacks(error):
        return False
    try:
        loads_items(payload)  # or did the function itself unpickle something?
    except AttributeError as again:
        return str(again) == str(error)
    except BaseException:
        return False
    return False
