"""One task in a worker: decode, call, encode. Every outcome is an answer.

Nothing that a task does may end the loop but the end of the process: what it raises is
its answer, ``SystemExit`` and ``KeyboardInterrupt`` too, and a result that can not be
pickled is a ``MaybeEncodingError``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import starmap
from typing import Any

from procession._codec import messages
from procession._codec.exceptions import encode_exception
from procession._codec.functions import FunctionCache, FunctionMissing
from procession._codec.objects import PROTOCOL, dumps, dumps_items, loads, loads_items, reducers
from procession._core import Channel
from procession.errors.pool import MaybeEncodingError

Answer = tuple[int, bytes]


def encode_value(value: Any, dumps: Callable[[Any], bytes] = dumps) -> Answer:
    """A result as an answer of kind VALUE, or of kind ERROR if it can not be pickled.

    ``dumps`` is ``dumps_items`` for a chunk's results.
    """
    try:
        return messages.VALUE, dumps(value)
    except Exception as error:
        return messages.ERROR, encode_exception(MaybeEncodingError(error, value))


class Invoker:
    """Runs the tasks of one worker."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._functions = FunctionCache(channel)
        self._known = self._functions.known

    def invoke(self, kind: int, function: int, code: int, payload: bytes | memoryview) -> Answer:
        """Run one task; never raises."""
        try:
            # The hot path: no call of ours but pickle's own.
            if kind == messages.CALL or kind == messages.CALL_ONE:
                call = self._known.get(function) or self._functions.load(function, code)
                if kind == messages.CALL_ONE:
                    value = call(loads(payload))
                else:
                    args, kwds = loads(payload)
                    value = call(*args, **kwds)
                try:
                    if len(reducers.table) == reducers.harmless:
                        return messages.VALUE, pickle.dumps(value, PROTOCOL)
                except Exception:
                    pass
                return encode_value(value)
            if kind == messages.CARRIED_CALL:
                call, args, kwds = loads(payload)
                return encode_value(call(*args, **kwds))
            call = self._functions.load(function, code)
            if kind == messages.EACH:
                return self._each(call, loads_items(payload))
            return self._all(kind, call, loads_items(payload))
        except FunctionMissing:
            return messages.BY_VALUE, b""
        except BaseException as error:
            missing = isinstance(error, AttributeError) and _lacks_main(error, payload)
            answer = messages.ARGUMENTS_BY_VALUE if missing else messages.ERROR
            return answer, encode_exception(error, skip_frames=1)

    def _all(self, kind: int, call: Callable[..., Any], items: Iterable[Any]) -> Answer:
        """A chunk that fails as a whole at its first error."""
        values: list[Any] = []
        calls = map(call, items) if kind == messages.MAP else starmap(call, items)
        try:
            self._channel.run(calls, values)
        except BaseException as error:
            return messages.ERROR, encode_exception(error, skip_frames=1)
        return encode_value(values, dumps_items)

    def _each(self, call: Callable[..., Any], items: Iterable[Any]) -> Answer:
        """A chunk whose items succeed or fail one by one."""
        calls: Iterator[Any] = map(call, items)
        values: list[Any] = []
        failures: dict[int, bytes] = {}
        while True:
            try:
                self._channel.run(calls, values)
                break
            except BaseException as error:
                failures[len(values)] = encode_exception(error, skip_frames=1)
                values.append(None)
        if not failures:
            kind, payload = encode_value(values, dumps_items)
            if kind == messages.VALUE:
                return kind, payload
        outcomes: list[tuple[bool, Any]] = []
        for index, value in enumerate(values):
            if index in failures:
                outcomes.append((False, failures[index]))
                continue
            kind, payload = encode_value(value)
            outcomes.append((kind == messages.VALUE, payload))
        return messages.OUTCOMES, dumps(outcomes)


def _lacks_main(error: AttributeError, payload: bytes | memoryview) -> bool:
    """Whether the arguments are made of something that this process's main module has not."""
    if "on <module '__main__'" not in str(error):
        return False
    try:
        loads_items(payload)  # or did the function itself unpickle something?
    except AttributeError as again:
        return str(again) == str(error)
    except BaseException:
        return False
    return False
