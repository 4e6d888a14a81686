"""What runs on another engine's worker: decode, call, encode, as ``_worker.invoke`` does.

Whatever a task raises is its answer, ``SystemExit`` and ``KeyboardInterrupt`` too. What a pool has
here (its functions, what its initializer returned) is kept under the pool's token; an engine's
worker may serve many pools, in many threads.
"""

from __future__ import annotations

import os
import pickle
import platform
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import perf_counter_ns
from typing import Any, NamedTuple

from procession import _core
from procession._codec import messages
from procession._codec.exceptions import encode_raised
from procession._codec.functions import ANEW, ANEW_FOR_EACH, KEPT_BY_WORKER
from procession._codec.given import Given, GivenOutcomes
from procession._codec.items import loads_items, loads_joined, since
from procession._codec.objects import dumps, loads
from procession._worker.state import elsewhere
from procession.errors.pool import MaybeEncodingError

MOST_POOLS = 32
"""Pools of which a worker keeps what it has; those that were not asked for longest are forgotten.
Their initializers run again if they are."""

_STARRED = frozenset({messages.STARMAP, messages.STAREACH})
_STOPPING = frozenset({messages.MAP, messages.STARMAP})
_PLAIN = frozenset({int, float, bool, str, type(None)})
_LONG = struct.Struct("=cQ")
_NODE = platform.node()


class Response(NamedTuple):
    """What a worker answers.

    Attributes:
        kind, payload: as in the result ring.
        ns: nanoseconds of the worker's time.
        first, end: the items that it is about.
        pid, node: whose answer it is.
    """

    kind: int
    payload: Any
    ns: int
    first: int = 0
    end: int = 1
    pid: int | None = None
    node: str | None = None


class Request(NamedTuple):
    """A record for another engine's worker.

    Attributes:
        token: of the pool.
        kind, number, payload, first, end: as in the task ring.
        function: the function's pickle; None if that is the first of the values that come with it.
        initializer: a pickle of (function, arguments), or None.
    """

    token: str
    kind: int
    number: int
    function: bytes | None
    payload: bytes
    first: int
    end: int
    initializer: bytes | None = None


class GivenRequest(NamedTuple):
    """A record for a thread of this process: objects as they are.

    Attributes:
        arguments: (arguments, keywords) of a call, or the items.
        initializer: (function, arguments), or None.
    """

    token: str
    kind: int
    function: Callable[..., Any]
    arguments: Any
    first: int
    end: int
    initializer: tuple[Callable[..., Any], tuple[Any, ...]] | None = None


class _Standing:
    """What a pool has in a worker."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_ready = False
        self.state: Any = None
        self.failure: Any = None
        self.known: dict[int, Callable[..., Any]] = {}

    def settle(
        self, initialize: Callable[[], object], encode: Callable[[BaseException], object]
    ) -> object:
        """Run the initializer, once; what it raised, encoded, or None."""
        if self.is_ready:
            return self.failure
        with self.lock:
            if not self.is_ready:
                try:
                    self.state = initialize()
                except BaseException as error:
                    self.failure = encode(error)
                self.is_ready = True
        return self.failure


_standings: dict[str, _Standing] = {}
_guard = threading.Lock()


def _after_fork() -> None:
    global _guard
    _guard = threading.Lock()
    _standings.clear()  # what was initialised in the parent is not so here


os.register_at_fork(after_in_child=_after_fork)


def _standing(table: dict[str, _Standing], token: str) -> _Standing:
    with _guard:
        found = table.pop(token, None) or _Standing()
        table[token] = found  # the last one now
        while len(table) > MOST_POOLS:
            del table[next(iter(table))]
    return found


class _Values(threading.local):
    """What came beside the request that this thread is at."""

    values: tuple[Any, ...] = ()


_beside = _Values()


def from_beside(inner: bytes, places: Iterable[Any]) -> Any:
    """Unpickle what has buffers beside it: (number, begin, length) of the values that came with the
    request, or the bytes themselves."""
    buffers = []
    for place in places:
        if isinstance(place, tuple):
            number, begin, length = place
            view = memoryview(_beside.values[number]).cast("B")
            buffers.append(view[begin : begin + length].toreadonly())
        else:
            buffers.append(place)
    return loads_joined(inner, buffers)


def run(request: Request, *values: Any) -> Response:
    """Run a record; called by the engine, on its worker. Raises nothing but what ends that."""
    began = perf_counter_ns()
    function = request.function
    if function is None:
        function, *rest = values
        values = tuple(rest)
    standing = _standing(_standings, request.token)

    def initialize() -> object:
        if request.initializer is None:
            return None
        call, args = loads(request.initializer)
        return call(*args)

    before = getattr(elsewhere, "state", elsewhere)
    outer, _beside.values = _beside.values, values
    try:
        failure = standing.settle(initialize, _encode_error)
        if failure is not None:
            return _response(messages.INITIALIZER_FAILED, failure, request, began)
        elsewhere.state = standing.state
        kind, payload, end, began = _outcome(request, bytes(function), standing)
        return _response(kind, payload, request, began, end)
    finally:
        _beside.values = outer
        _restore(before)


def _restore(state: Any) -> None:
    if state is elsewhere:
        del_state = vars(elsewhere).pop
        del_state("state", None)
    else:
        elsewhere.state = state


def _response(
    kind: int, payload: Any, request: Request | GivenRequest, began: int, end: int | None = None
) -> Response:
    return Response(
        kind,
        payload,
        perf_counter_ns() - began,
        request.first,
        request.end if end is None else end,
        os.getpid(),
        _NODE,
    )


def _outcome(request: Request, function: bytes, standing: _Standing) -> tuple[int, Any, int, int]:
    """What came of it: kind, payload, the end of its items, and when the work itself began."""
    end = request.end
    began = perf_counter_ns()
    try:
        what = request.kind & messages.KIND_MASK
        if what == messages.CARRIED_CALL:
            *_, call, args, kwds = loads(request.payload)
        else:
            call = _loaded(request.number, function, standing)
            if what != messages.CALL:
                items = iter(since(loads_items(request.payload), request.first))
                began = perf_counter_ns()  # the pace of items: without what is done once
                return *_of_items(call, items, what, request.first, end), began
            args, kwds = loads(request.payload)
        return messages.VALUE, _encoded(call(*args, **kwds)), end, began
    except BaseException as error:
        return messages.ERROR, _encode_error(error), end, began


def _loaded(number: int, function: bytes, standing: _Standing) -> Callable[..., Any]:
    if number & ANEW_FOR_EACH:

        def anew(*args: Any) -> Any:
            return loads(function)(*args)

        return anew
    if number & ANEW:
        return loads(function)  # type: ignore[no-any-return]
    known = standing.known
    found = known.get(number)
    if found is None:
        found = loads(function)
        while len(known) >= KEPT_BY_WORKER:
            known.pop(next(iter(known)), None)
        known[number] = found
    return found


def _of_items(
    call: Callable[..., Any], items: Iterator[Any], what: int, first: int, end: int
) -> tuple[int, Any, int]:
    """The outcomes of items, as ``_core.decode_outcomes`` wants them (see ``bind_outcomes.c``);
    numbers and texts alone travel as one list, which takes a tenth of the time."""
    starred, stopping = what in _STARRED, what in _STOPPING
    outcomes: list[Any] = []  # plain values as they are, all else as a part of the payload
    are_plain = True
    for _ in range(first, end):
        try:
            item = next(items)  # which unpickles it, perhaps, and may fail
            value = call(*item) if starred else call(item)
            if type(value) not in _PLAIN:  # it may change with the next item
                value = _part(b"P", _encoded(value))
                are_plain = False
            outcomes.append(value)
        except BaseException as error:
            outcomes.append(_part(b"E", _encode_error(error)))
            are_plain = False
            if stopping:
                break
    end = first + len(outcomes)  # where it was stopped
    if are_plain:
        return messages.OUTCOMES, GivenOutcomes(outcomes, {}), end
    parts = [one if type(one) is bytes else _part(b"P", dumps(one)) for one in outcomes]
    return messages.OUTCOMES, b"".join(parts), end


def _part(tag: bytes, content: bytes) -> bytes:
    return _LONG.pack(tag, len(content)) + content


def _encoded(value: Any) -> bytes:
    """A result as it travels.

    Raises:
        MaybeEncodingError: it can not be pickled.
    """
    pins = _core.pins_made()
    try:
        encoded = dumps(value)
        if _core.pins_made() != pins and names_local(encoded):
            _core.withdraw_pins(pins)
            raise TypeError("locks, queues and values of procession can not leave their machine")
    except Exception as error:
        raise MaybeEncodingError(error, value) from None
    return encoded


def names_local(pickled: bytes) -> bool:
    """Whether a pickle names an object in shared memory: a lock, a queue."""
    return b"procession._core.binding" in pickled and b"arrive" in pickled


ENDS_WORKER = "ray_terminate_msg"
"""An attribute of the SystemExit by which Ray ends a worker (of SIGTERM, say) whatever it is at."""


def _encode_error(error: BaseException) -> bytes:
    """What a call raised, without our own lines. If the engine ends this worker by it, that is no
    outcome of the call's but a death: raises it again."""
    if type(error) is SystemExit and hasattr(error, ENDS_WORKER):
        raise error
    return encode_raised(error, globals())


# ---- in a thread of this process


class _OfThread(threading.local):
    """What pools have in this thread."""

    def __init__(self) -> None:
        self.standings: dict[str, _Standing] = {}


_own = _OfThread()


def run_given(request: GivenRequest) -> Response:
    """Run a record in a thread of the pool's own process. Never raises."""
    began = perf_counter_ns()
    standing = _standing(_own.standings, request.token)

    def initialize() -> object:
        if request.initializer is None:
            return None
        call, args = request.initializer
        return call(*args)

    before = getattr(elsewhere, "state", elsewhere)
    try:
        failure = standing.settle(initialize, lambda error: error)
        if failure is not None:
            return _response(messages.INITIALIZER_FAILED, failure, request, began)
        elsewhere.state = standing.state
        kind, payload, end = _given_outcome(request)
        return _response(kind, payload, request, began, end)
    finally:
        _restore(before)


def _given_outcome(request: GivenRequest) -> tuple[int, Any, int]:
    end, what, call = request.end, request.kind & messages.KIND_MASK, request.function
    if what == messages.CALL:
        args, kwds = request.arguments
        try:
            return messages.VALUE, Given(call(*args, **kwds)), end
        except BaseException as error:
            return messages.ERROR, Given(_without_ours(error)), end
    starred, stopping = what in _STARRED, what in _STOPPING
    values: list[Any] = []
    failures: dict[int, BaseException] = {}
    for item in islice(request.arguments, request.first, end):
        try:
            values.append(call(*item) if starred else call(item))
        except BaseException as error:
            failures[len(values)] = _without_ours(error)
            values.append(None)
            if stopping:
                break
    return messages.OUTCOMES, GivenOutcomes(values, failures), request.first + len(values)


def _without_ours(error: BaseException) -> BaseException:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    return error.with_traceback(trace)


def dumps_initializer(initializer: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    """What ``Request.initializer`` is."""
    return pickle.dumps((initializer, args), 5)
