"""What stands in the ledger: something sent to the workers that has no answer yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from procession._codec import messages
from procession._codec.buffers import loads_apart, size_of
from procession._codec.exceptions import decode_exception
from procession._codec.functions import Sent
from procession._codec.given import Given
from procession._codec.objects import quick_loads, short_repr
from procession._core import Entry
from procession._engine.ending import completed
from procession._engine.options import Options
from procession._engine.outline import outline_call
from procession._engine.policy import Ended, Failure, Fate
from procession.errors.pool import TaskTimeout, WorkerDied

if TYPE_CHECKING:
    from procession._engine.engine import Engine

_Error = TypeVar("_Error", bound=BaseException)

# Kinds of answers that the engine gives itself; the core knows the first of them, too, for results
# that there is no memory for.
FAILURE: Final = 0x400  # the payload is the exception
DEATH: Final = -2  # the payload is a Death
CANCELLED: Final = -3

_VALUE: Final = messages.VALUE

Answer = tuple[int, Any, int]
"""Kind, payload, nanoseconds of a worker's time."""


class Death(NamedTuple):
    """The end of a worker under a task.

    Attributes:
        item: the item of the payload that it was at.
        runs: how often the task, or the item, was run in vain; this one included.
        quarantined: it is not run again because it has killed too many workers.
        timeout: the seconds that it had, if it was killed for being late.
        breaks: whether the pool is broken by it.
    """

    ended: Ended
    item: int
    runs: int = 1
    quarantined: bool = False
    timeout: float | None = None
    breaks: bool = False


def function_name(function: Any) -> str:
    """A function's name for people."""
    return getattr(function, "__qualname__", None) or short_repr(function)


def decode(
    kind: int,
    payload: Any,
    describe: Callable[[int], tuple[str, int | None]],
    timeout: float | None = None,
) -> tuple[bool, Any]:
    """``(True, value)`` or ``(False, exception)``.

    Runs code of the user's (unpickling). ``describe`` names the call for a ``WorkerDied``, and
    ``timeout`` is what a task had that was stopped.
    """
    if kind == messages.VALUE:
        try:
            return True, quick_loads(payload) if type(payload) is bytes else loads_apart(payload)
        except Exception as error:
            return False, noted(error)
    if kind == FAILURE:
        return False, completed(payload)
    if kind == DEATH:
        return False, death_error(payload, *describe(payload.item))
    if kind == CANCELLED:
        return False, CancelledError()
    return False, raised(payload, describe, 0, timeout)


def raised(
    payload: Any,
    describe: Callable[[int], tuple[str, int | None]],
    item: int,
    timeout: float | None,
) -> BaseException:
    """What a task raised; a ``TaskTimeout`` is told where it was raised."""
    error = payload.value if type(payload) is Given else decode_exception(payload)
    if type(error) is TaskTimeout:
        error.locate(timeout, *describe(item))
    return error


def noted(error: _Error) -> _Error:
    """The error of a result that does not load here, with a note that says so."""
    error.add_note("(the task's result was pickled, but can not be unpickled here)")
    return error


def death_error(death: Death, task: str, item: int | None) -> Exception:
    """What a death is reported as."""
    ended = death.ended
    if death.timeout is not None:
        late = TaskTimeout(death.timeout, pid=ended.pid, task=task, item=item, output=ended.output)
        late.runs_on = ended.runs_on
        return late
    error = WorkerDied(
        ended.pid,
        ended.exitcode,
        task,
        item,
        cause=ended.cause,
        output=ended.output,
        stack=ended.stack,
        attempts=death.runs,
        quarantined=death.quarantined,
        node=ended.node,
    )
    error.broke_pool = death.breaks
    error.chunk = ended.chunk
    return error


class Record(Entry):
    """One record of the task ring: a task, or a part of a map or imap call.

    The attributes lie in the core, which sets some of them.

    Attributes:
        number: its place in the ledger.
        kind, sent, payload: what the worker gets; kept until it is answered, to be sent again, and
            with it the memory that the payload names.
        first, end: the range of items of the payload that is to be run.
        is_wanted: whether somebody may still ask for its outcome.
        block: None until it is sent; then the block of a large payload, or 0.
        position: where it was last put into the task ring, as the channel told; not set before.
        attend: True if its answer is to be handed to ``arrive``. Else the core sets ``answer``;
            and if this is a deque, it puts the record there.
        answer: its answer; None before.
    """

    __slots__ = ()

    first = 0
    end = 1
    is_wanted = True

    function: Callable[..., Any]
    number: int
    kind: int
    sent: Sent
    payload: bytes
    options: Options
    block: int | None
    position: int
    attend: bool | deque[Any]
    answer: Any

    def arrive(
        self, engine: Engine, kind: int, payload: Any, taken: int, first: int = 0, end: int = 0
    ) -> None:
        """Its answer is here, or a part of it; perhaps told twice. Under the engine's lock; no
        code of the user's may run in here."""
        raise NotImplementedError

    def describe(self, item: int) -> tuple[str, int | None]:
        """In short, for people: the call, and the item's index within it."""
        raise NotImplementedError


class Task(Record):
    """One call, and its outcome.

    Attributes:
        callback, error_callback: called with the value or the exception, before ``answer`` is set.
    """

    __slots__ = ("__weakref__", "_arrived")

    answer: Answer | None
    _decoded: tuple[bool, Any] | None

    _arrived: Answer

    def set_callbacks(
        self,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        """Have one of them called when it is answered. Before it is sent."""
        self.callback = callback
        self.error_callback = error_callback
        self.attend = self.has_callback

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
            if kind == _VALUE:  # the hot path
                try:
                    value = quick_loads(payload) if type(payload) is bytes else loads_apart(payload)
                    decoded = True, value
                except Exception as error:
                    decoded = False, noted(error)
            else:
                decoded = decode(kind, payload, self.describe, self.options.timeout)
            self._decoded = decoded
            self.answer = (kind, None, 0)  # the decoded value is enough to keep
            self.payload = b""
        return decoded

    def arrive(
        self, engine: Engine, kind: int, payload: Any, taken: int, first: int = 0, end: int = 0
    ) -> None:
        """Be answered; callbacks come first, so who waits for the task waits for them, too."""
        if self.answer is not None:
            return
        if self.has_callback and getattr(self, "_arrived", None) is not None:
            engine.attendant.call_back(self)  # it may not have been told
            return
        if not self.options.is_plain:
            if kind == messages.ERROR and engine.settler.is_tried_again(
                self, 0, Failure.RAISED, payload
            ):
                return
            engine.settler.forget(self)
            if self.options.max_bytes is not None:
                engine.bytes_under_way -= size_of(self.payload)
        engine.free_payload(self)
        if self.has_callback:
            self._arrived = (kind, payload, taken)
            engine.attendant.call_back(self)
        else:
            self.answer = (kind, payload, taken)
            engine.with_callbacks.discard(self)
            engine.channel.wake(self)

    def call_back(self, engine: Engine) -> None:
        """Run the callback that fits the outcome, then be answered. The attendant's."""
        if self.answer is not None:  # told twice
            return
        kind, payload, _ = self._arrived
        try:
            success, value = decode(kind, payload, self.describe, self.options.timeout)
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
        name = self.options.name or function_name(self.function)
        return outline_call(name, self.payload), None


def failure_of(fate: Fate) -> Failure:
    """How a task has failed whose worker had this fate."""
    return Failure.TIMED_OUT if fate is Fate.TIMED_OUT else Failure.DIED
