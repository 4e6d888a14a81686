"""What coroutines await: one call, or the results of an imap call one by one.

The event loop's thread waits for nothing here, and runs no code of the user's but to pickle the
arguments of a call.

*One call* is a record that the attendant tells the loop about, as it does with watched futures. So
it needs no thread of its own.

*An iteration* has one, its pump. Who waits for the next result of an imap call also unpickles it.
That is code of the user's which may take its time, or wait for anything: so it can be run neither
by the loop nor by the attendant, on whom all other calls of the pool depend.
What is decoded already, the loop takes by itself; so tiny results, which travel together, cost one
hand-over for all of them. The pump takes one step at a time, and only when it is asked to: no
results pile up in front of a slow consumer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from procession._engine.entries import Task
from procession._engine.options import Options
from procession._engine.streams import StreamJob
from procession._threads import Thread

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from procession._engine.engine import Engine

_Outcome = tuple[bool, Any] | None
"""``(True, value)``, ``(False, exception)``, or None: there is no more."""


def running_loop() -> AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    asyncio: Any = sys.modules.get("asyncio.events")  # nobody runs one who has not loaded it
    if asyncio is None:
        return None
    loop: AbstractEventLoop | None = asyncio._get_running_loop()
    return loop


def _this_loop() -> AbstractEventLoop:
    loop = running_loop()
    if loop is None:
        raise RuntimeError(
            "no event loop of asyncio's is running here: only there it can be awaited"
        )
    return loop


class Ask:
    """Somebody in a loop who awaits something; told by any thread."""

    __slots__ = ("_loop", "future")

    def __init__(self) -> None:
        self._loop = _this_loop()
        self.future: Future[_Outcome] = self._loop.create_future()

    def tell(self, outcome: _Outcome) -> bool:
        """Have it go on; False if its loop is closed."""
        try:
            self._loop.call_soon_threadsafe(_set, self.future, outcome)
        except RuntimeError:
            return False
        return True


def _set(future: Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():  # else it was cancelled
        future.set_result(outcome)


# ---- one call


class Call(Task):
    """One call that a coroutine awaits."""

    __slots__ = ("_ask", "is_sent", "is_wanted")

    def __init__(self, ask: Ask, function: Callable[..., Any], options: Options) -> None:
        super().__init__(None, function, options)
        self.attend = True
        self._ask = ask
        self.is_sent = False
        self.is_wanted = True

    def callback(self, value: Any) -> None:
        """It has returned. The attendant's."""
        self._ask.tell((True, value))

    def error_callback(self, error: BaseException) -> None:
        """It has raised. The attendant's."""
        self._ask.tell((False, error))

    def skip_callback(self, engine: Engine) -> None:
        """Who awaits it is owed an end even if the pool was terminated."""
        engine.attendant.call_back_late(self)

    def send(self, engine: Engine, args: tuple[Any, ...], kwds: dict[str, Any]) -> None:
        """Submit it; if it was given up meanwhile, it is cancelled."""
        engine.submit(self, args, kwds)
        self.is_sent = True  # first this, then the question: give_up() does it the other way
        if not self.is_wanted:
            engine.cancel(self)

    def give_up(self, engine: Engine) -> None:
        """Have it not be run, or end it if it runs."""
        self.is_wanted = False
        if self.is_sent:
            engine.cancel(self)


async def run(
    engine: Engine,
    options: Options,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwds: Mapping[str, Any],
) -> Any:
    """Run one call on the engine; cancelled, it is ended wherever it is."""
    ask = Ask()
    call = Call(ask, function, options)
    try:
        if options.max_in_flight is None and options.max_bytes is None:
            call.send(engine, args, dict(kwds))
        else:  # it may have to wait until there is room
            send = partial(call.send, engine, args, dict(kwds))
            await _this_loop().run_in_executor(None, send)
        outcome = await ask.future
    except BaseException:  # cancelled, most likely
        call.give_up(engine)
        raise
    assert outcome is not None
    success, value = outcome
    if success:
        return value
    try:
        raise value
    finally:
        del outcome, value, call, ask  # its traceback leads here


# ---- results one by one


class Pump:
    """Waits for the results of one imap call on behalf of coroutines.

    Its thread is started when it is first needed, and ends with the iteration.
    """

    def __init__(self, job: StreamJob) -> None:
        self._job = job
        self._asked: SimpleQueue[Ask | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._starting = Lock()
        self._is_stopped = False
        self._is_over = False  # its thread serves nobody any more
        self._was_cancelled = False

    async def next(self) -> tuple[bool, Any]:
        """The next outcome. Cancelled, it closes the iteration.

        Raises:
            StopAsyncIteration: there are no more.
            RuntimeError: it was closed by a cancellation.
        """
        outcome: _Outcome = self._job.at_hand()
        if outcome is None:
            ask = Ask()
            try:
                outcome = await self._serve_later(ask)
            except BaseException:  # cancelled, most likely
                self._was_cancelled = self.stop() or self._was_cancelled
                raise
        if outcome is None and self._was_cancelled:
            raise RuntimeError(_CANCELLED)  # also for others who wait: not all results were seen
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    async def close(self) -> None:
        """Want no more results; returns when the input is closed, or raises what that raises."""
        self._start()  # the loop's thread does not wait for it
        self.stop()
        outcome = await self._serve_later(Ask())
        if outcome is not None:
            raise outcome[1]

    def stop(self, *, wait: bool = True) -> bool:
        """Want no more results. The input is closed by the thread, if there is one, else here.

        Args:
            wait: for an input that has a thread of its own.

        Returns:
            False if it had come to its end before.
        """
        stopped = self._job.stop()
        if stopped:
            self._is_stopped = True
        self._asked.put(None)
        if self._thread is None:
            self._finish(wait=wait)
        return stopped

    def _serve_later(self, ask: Ask) -> Future[_Outcome]:
        self._asked.put(ask)
        if self._is_over:  # set by the thread before it looks for the last time
            self._send_off(None)
        elif self._thread is None:
            self._start()
        return ask.future

    def _start(self) -> None:
        with self._starting:  # for loops in several threads
            if self._thread is None:
                thread = Thread(target=self._run, name="procession-async-imap", daemon=True)
                thread.start()
                self._thread = thread

    # ---- the thread

    def _run(self) -> None:
        try:
            while (ask := self._asked.get()) is not None and self._serve(ask):
                del ask
        finally:
            self._finish()

    def _serve(self, ask: Ask) -> bool:
        """Wait for an outcome, and hand it over; False if there are no more, or none is wanted."""
        outcome: _Outcome
        is_last = False
        try:
            outcome = self._job.next()
        except StopIteration:
            outcome, is_last = None, True
        except BaseException as error:  # the input ended by that, or some items have failed
            outcome, is_last = (False, error), True
        if not ask.tell(outcome):
            if self._job.stop():
                self._is_stopped = True
            return False
        return not is_last

    def _finish(self, *, wait: bool = True) -> None:
        """Close the input, if it was not read to its end, and send off whoever waits."""
        failure: BaseException | None = None
        if self._is_stopped:
            self._is_stopped = False
            try:
                self._job.let_go(wait=wait)
            except BaseException as error:
                failure = error
        self._is_over = True
        told = self._send_off(failure)
        if failure is not None and not told:
            raise failure

    def _send_off(self, failure: BaseException | None) -> bool:
        """Tell those who still wait that there are no more, and the first one what went wrong."""
        was_told = False
        while True:
            try:
                ask = self._asked.get_nowait()
            except Empty:
                return was_told
            if ask is not None:
                told = ask.tell(None if failure is None else (False, failure))
                was_told = was_told or told
                failure = None if told else failure


_CANCELLED = (
    "this iteration was closed when a wait for its next result was cancelled; to limit the time of "
    "each item, use pool.options(timeout=...)"
)
