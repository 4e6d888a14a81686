"""What stands in the ledger: something sent to the workers that has no answer yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from procession._codec import messages
from procession._codec.exceptions import decode_exception
from procession._codec.functions import Sent
from procession._codec.objects import loads, short_repr
from procession._engine.ending import completed
from procession._engine.outline import outline_call
from procession._engine.policy import Held
from procession.errors.pool import WorkerDied

if TYPE_CHECKING:
    from procession._engine.engine import Engine

# Kinds of answers that the engine gives itself.
FAILURE: Final = -1  # the payload is the exception
DEATH: Final = -2  # the payload is a Death

Answer = tuple[int, Any, int]
"""Kind, payload, nanoseconds of a worker's time."""


class Death(NamedTuple):
    """The end of a worker under a task: its pid, its exit code, the item it was at."""

    pid: int
    exitcode: int | None
    item: int


def function_name(function: Any) -> str:
    """A function's name for people."""
    return getattr(function, "__qualname__", None) or short_repr(function)


def decode(
    kind: int,
    payload: Any,
    describe: Callable[[int], tuple[str, int | None]],
    loads: Callable[[Any], Any] = loads,
) -> tuple[bool, Any]:
    """``(True, value)`` or ``(False, exception)``.

    Runs code of the user's (unpickling). ``describe`` names the call for a ``WorkerDied``;
    ``loads`` is ``loads_items`` for a chunk's answer.
    """
    if kind == messages.VALUE:
        try:
            return True, loads(payload)
        except Exception as error:
            error.add_note("(the task's result was pickled, but can not be unpickled here)")
            return False, error
    if kind == FAILURE:
        return False, completed(payload)
    if kind == DEATH:
        return False, WorkerDied(payload.pid, payload.exitcode, *describe(payload.item))
    return False, decode_exception(payload)


class Record:
    """One record of the task ring: a task, or a part of a map or imap call.

    Attributes:
        number: its place in the ledger.
        kind, sent, payload: what the worker gets; kept until it is answered, to be sent again.
        block: None until it is sent; then the block of a large payload, or 0.
        attend: True if its answer is to be handed to ``arrive``. Else the core sets ``answer``;
            and if this is a deque, it puts the record there.
        answer: its answer; None before.
    """

    __slots__ = ("answer", "attend", "block", "function", "kind", "number", "payload", "sent")

    function: Callable[..., Any]
    number: int
    kind: int
    sent: Sent
    payload: bytes
    block: int | None
    attend: bool | deque[Any]
    answer: Any

    def arrive(self, engine: Engine, kind: int, payload: Any, taken: int) -> None:
        """Its answer is here; perhaps told twice. Under the engine's lock; no code of the
        user's may run in here."""
        raise NotImplementedError

    def describe(self, item: int) -> tuple[str, int | None]:
        """In short, for people: the call, and the item's index within it."""
        raise NotImplementedError


class HeldRecord(NamedTuple):
    """What a dead worker held."""

    state: Held
    record: Record | None = None
    item: int = 0


class Task(Record):
    """One call, and its outcome.

    Attributes:
        callback, error_callback: called with the value or the exception, before ``answer`` is set.
    """

    __slots__ = ("__weakref__", "_arrived", "_decoded", "callback", "error_callback")

    answer: Answer | None

    _arrived: Answer
    _decoded: tuple[bool, Any] | None

    def __init__(
        self,
        function: Callable[..., Any],
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self.answer = None
        self._decoded = None
        self.block = None
        self.function = function
        self.callback = callback
        self.error_callback = error_callback
        self.attend = callback is not None or error_callback is not None

    @property
    def has_callback(self) -> bool:
        """Whether somebody is to be called with the outcome."""
        return self.callback is not None or self.error_callback is not None

    def outcome(self) -> tuple[bool, Any]:
        """``(True, value)`` or ``(False, exception)``; only when there is an answer."""
        answer = self.answer  # read first: another thread may be at the same
        decoded = self._decoded
        if decoded is None:
            assert answer is not None
            kind, payload, _ = answer
            self._decoded = decoded = decode(kind, payload, self.describe)
            self.answer = (kind, None, 0)  # the decoded value is enough to keep
            self.payload = b""
        return decoded

    def arrive(self, engine: Engine, kind: int, payload: Any, taken: int) -> None:
        """Be answered; callbacks come first, so who waits for the task waits for them, too."""
        if self.answer is not None:
            return
        engine.free_payload(self)
        if self.has_callback:
            self._arrived = (kind, payload, taken)
            engine.attendant.call_back(self)
        else:
            self.answer = (kind, payload, taken)
            engine.channel.wake(self)

    def call_back(self, engine: Engine) -> None:
        """Run the callback that fits the outcome, then be answered. The attendant's."""
        if self.answer is not None:  # told twice
            return
        kind, payload, _ = self._arrived
        try:
            success, value = decode(kind, payload, self.describe)
        except BaseException as error:  # unpickling exits: nobody else is here to get that
            success, value = False, error
        self._decoded = success, value
        callback = self.callback if success else self.error_callback
        try:
            if callback is not None:
                callback(value)
        finally:
            self.answer = (kind, None, 0)
            self.payload = b""
            engine.with_callbacks.discard(self)
            engine.channel.wake(self)

    def skip_callback(self, engine: Engine) -> None:
        """Be answered without it."""
        if self.answer is None:
            self.answer = self._arrived
            engine.with_callbacks.discard(self)
            engine.channel.wake(self)

    def describe(self, item: int) -> tuple[str, int | None]:
        """``f(1, x=2)``, shortened."""
        return outline_call(function_name(self.function), self.payload), None
