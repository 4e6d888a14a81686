"""What an executor's ``submit`` returns: a task that is a ``concurrent.futures.Future``, too.

Who asks it for its result collects that himself. Only where others are to be told (callbacks,
``concurrent.futures.wait``, asyncio) the attendant does it: such a future is *watched*.

What may happen at once, and how it is settled::

    somebody wants to be told             the answer arrives
    ─────────────────────────             ──────────────────
    _is_watched, attend := True           answer := ...
    is there an answer?                   is it watched?
      no: the attendant will come           yes: the attendant is called
      yes: tell now

Each side says what it does before it looks at the other; so at least one of them tells, and
``_is_told``, under the condition, sees to it that it is not done twice.
"""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, InvalidStateError
from threading import Condition
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from procession._codec import messages
from procession._engine.checking import check_timeout
from procession._engine.entries import CANCELLED, FAILURE, Task, function_name

if TYPE_CHECKING:
    from procession._engine.engine import Engine

_T = TypeVar("_T")

_PENDING = "PENDING"
_FINISHED = "FINISHED"
_CANCELLED = "CANCELLED_AND_NOTIFIED"


class _Watched:
    """An attribute that a future gets, with others, when somebody asks for it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, future: Future[Any] | None, owner: type) -> Any:
        if future is None:
            raise AttributeError(self._name)
        return future._watch()[self._name]


class Future(Task, concurrent.futures.Future[_T]):
    """The outcome of one call, once there is one. Made by ``Executor.submit``.

    While nobody but those who ask for the result is interested, it is a bare record. It gets what
    a ``concurrent.futures.Future`` has besides (a condition, waiters, callbacks) when that is first
    asked for; from then on it is *watched*: the attendant tells those who want to know.
    """

    __slots__ = ()

    _owner: Engine

    _condition: Condition = _Watched()  # type: ignore[assignment]
    _waiters: list[Any] = _Watched()  # type: ignore[assignment]
    _done_callbacks: list[Callable[[Future[_T]], object]] = _Watched()  # type: ignore[assignment]
    _is_watched = False
    _is_told = False  # those who wait know; changed under the condition
    _is_running = False  # somebody said so

    # ---- asking

    def result(self, timeout: float | None = None) -> _T:
        """The call's value, or raises what it raised.

        Raises:
            TimeoutError: no outcome within `timeout` seconds (None: without limit).
            CancelledError: it was cancelled.
            WorkerDied: its worker ended before it answered.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self.answer is None and not self._owner.wait(self, timeout):
            raise TimeoutError(f"no result within {timeout} seconds")
        success, value = self._decoded or self.outcome()
        if success:
            return value  # type: ignore[no-any-return]
        try:
            raise value
        finally:
            del self, value  # its traceback leads here

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised; None if it returned.

        Raises:
            TimeoutError: no outcome within `timeout` seconds (None: without limit).
            CancelledError: it was cancelled.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self.answer is None and not self._owner.wait(self, timeout):
            raise TimeoutError(f"no result within {timeout} seconds")
        success, value = self._decoded or self.outcome()
        if success:
            return None
        if self.cancelled():
            raise CancelledError
        error: BaseException = value
        return error

    def done(self) -> bool:
        """Whether there is an outcome, or it was cancelled."""
        return self.answer is not None or self._owner.wait(self, 0)

    def running(self) -> bool:
        """Whether a worker is at it now."""
        return not self.done() and (self._is_running or self._owner.is_at_work(self))

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        answer = self.answer
        return answer is not None and answer[0] == CANCELLED

    def cancel(self) -> bool:
        """Have it not be run, or end it if it runs: its process is killed and another takes over.

        Returns:
            False if it was done before; else its result is a ``CancelledError``.
        """
        if self.answer is not None or not self._owner.cancel(self):
            return self.cancelled()
        if self._is_watched:
            self._tell()
            self._run_callbacks()
        return True

    def add_done_callback(self, fn: Callable[[Future[_T]], object]) -> None:
        """Have `fn` called with this future when it is done: by a thread of the executor's, or at
        once, if it is done already. What it raises is logged."""
        with self._condition:
            if self.answer is None:
                self._done_callbacks.append(fn)
                return
        self._call(fn)

    # ---- for those who look at the standard library's futures from inside

    @property
    def _state(self) -> str:  # type: ignore[override]
        # Whether a worker is at it is not said: that takes a look at all of them.
        if self.answer is None:
            return _PENDING
        if self._is_watched:
            self._tell()  # who asks under the condition is told nothing behind it
        return _CANCELLED if self.cancelled() else _FINISHED

    def set_running_or_notify_cancel(self) -> bool:
        """As ``concurrent.futures.Future``: not for users of an executor."""
        with self._condition:
            if self.answer is not None:
                if self.cancelled():
                    return False
                raise RuntimeError("Future in unexpected state")
            self._is_running = True
            return True

    def set_result(self, result: _T) -> None:
        """As ``concurrent.futures.Future``: not for users of an executor."""
        self._set(True, result)

    def set_exception(self, exception: BaseException | None) -> None:
        """As ``concurrent.futures.Future``: not for users of an executor."""
        self._set(False, exception)

    def _set(self, success: bool, value: Any) -> None:
        with self._condition:
            if self.answer is not None:
                raise InvalidStateError(f"{self._state}: {self!r}")
            self._decoded = success, value
            self.answer = (messages.VALUE if success else FAILURE, None, 0)
            self._tell()
        self._owner.channel.wake(self)
        self._run_callbacks()

    # ---- being watched

    def _watch(self) -> dict[str, Any]:
        """Have those who wait be told from now on."""
        own = vars(self)
        if not self._is_watched:
            own.setdefault("_waiters", [])
            own.setdefault("_done_callbacks", [])
            own.setdefault("_condition", Condition())
            # First this, then the question whether it is answered: arrive() does it the other way.
            self._is_watched = True
            self.attend = True
            self._await()
        if self.answer is None:
            self._owner.attendant.step_aside()  # a callback asks, and may wait for it
        return own

    def _await(self) -> None:
        """Have the attendant wait for the answer."""
        engine = self._owner
        callers = engine.with_callbacks
        callers.add(self)
        if self.answer is not None:
            callers.discard(self)  # it may have come before anybody would do that
        elif len(callers) == 1 or engine.attendant.is_unused:
            engine.attendant.call()

    def arrive(self, engine: Engine, *answer: Any) -> None:
        """Be answered; who waits is told by the attendant."""
        super().arrive(engine, *answer)
        if self.answer is not None and self._is_watched and not self._is_told:
            engine.attendant.call_back(self)

    def call_back(self, engine: Engine) -> None:
        """Tell those who wait, and run the callbacks. The attendant's."""
        try:
            self.outcome()
        except BaseException as error:  # unpickling exits: nobody else is here to get that
            self._decoded = False, error
        self._tell()
        self._run_callbacks()

    def skip_callback(self, engine: Engine) -> None:
        """Who waits for it is owed an end even if the pool was terminated."""
        engine.attendant.call_back_late(self)

    def _tell(self) -> None:
        """Tell those who wait that it is done; once."""
        with self._condition:
            if self._is_told:
                return
            self._is_told = True
            self._owner.with_callbacks.discard(self)
            answer, decoded = self.answer, self._decoded
            assert answer is not None
            success = answer[0] == messages.VALUE if decoded is None else decoded[0]
            for waiter in self._waiters:
                if answer[0] == CANCELLED:
                    waiter.add_cancelled(self)
                elif success:
                    waiter.add_result(self)
                else:
                    waiter.add_exception(self)
            self._condition.notify_all()

    def _run_callbacks(self) -> None:
        callbacks = self._done_callbacks
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:  # run by another thread
                return
            try:
                self._call(callback)
            except BaseException:  # it exits, or an interrupt came: the others are called first
                self._run_callbacks()
                raise

    def _call(self, callback: Callable[[Future[_T]], object]) -> None:
        try:
            callback(self)
        except Exception:
            logging.getLogger("concurrent.futures").exception(
                "exception calling callback for %r", self
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} of {self._name()}: {self._describe()}>"

    def _name(self) -> str:
        return self.options.name or function_name(self.function)

    def _describe(self) -> str:
        if self.answer is None:
            return "pending"
        if self.cancelled():
            return "cancelled"
        if self._decoded is None:
            return "finished"
        success, value = self._decoded
        return f"finished, {'returned' if success else 'raised'} {type(value).__name__}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a future can not be pickled: it belongs to its executor's process")
