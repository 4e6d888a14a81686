"""The whole engine, as the doors call it: submit, wait, close, terminate."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, NoReturn

from procession import _core
from procession._codec import messages
from procession._codec.functions import CARRIED
from procession._codec.objects import dumps, dumps_by_value, loads_items
from procession._core import Channel
from procession._engine.attendant import FULL_RING_STEP, STEP, Attendant
from procession._engine.copies import disable_copies, refuse_copy
from procession._engine.crew import Crew
from procession._engine.ending import Cause, completed, end_error
from procession._engine.entries import (
    DEATH,
    FAILURE,
    Answer,
    Death,
    HeldRecord,
    Record,
    Task,
)
from procession._engine.feeding import Feeder
from procession._engine.hiring import Terms
from procession._engine.holding import let_go
from procession._engine.ledger import Ledger
from procession._engine.maps import MapJob
from procession._engine.policy import Held, PoolState
from procession._engine.publishing import Publisher
from procession._engine.streams import StreamJob
from procession._engine.supervisor import PATIENCE, Supervisor
from procession._launch import cpus, exits, streams

RING_BYTES = 1 << 20
"""Of each ring: room for some ten thousand small tasks or results."""

EXIT_PRIORITY = 15  # pools end before other exit functions, as in the standard library


class Engine:
    """A channel, the workers behind it (from start() on), and the ledger of what they owe."""

    channel: Channel
    functions: Publisher
    attendant: Attendant
    supervisor: Supervisor

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pid = os.getpid()
        self.state = PoolState.TERMINATING
        self.lock = threading.RLock()
        self.ledger = Ledger()
        self.open = self.ledger.open
        self.arrivals: deque[tuple[Any, int, Any, int]] = deque()
        self.feeder = Feeder(self.send)
        self.streams: set[StreamJob] = set()
        self.with_callbacks: set[Task | MapJob] = set()
        self._finished = False
        self._exit: exits.ExitHandle | None = None

    def start(self, terms: Terms) -> None:
        """Start the workers; if this raises, an interrupt for one, none is left.

        Raises:
            OSError: the system has no room for so many processes.
            MemoryError: it has none for the channel.
            Exception: what the start method needs to pickle can not be pickled.
        """
        workers = self.workers
        supervisor: Supervisor | None = None
        mask = frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        streams.occupy()  # the numbers of closed ones are not for us
        bell = os.eventfd(0)
        try:
            # A core is spare for the waiting thread while fewer tasks run than there are cores.
            self.channel = Channel(workers, RING_BYTES, RING_BYTES, cpus.cpu_count(), bell)
            crew = Crew(workers, terms.starter(self.channel, workers, mask))
            self.functions = Publisher(self.channel, self.ledger)
            self.attendant = Attendant(self)
            self.supervisor = Supervisor(self, crew, bell, patience=max(PATIENCE, 2 * workers))
            supervisor = self.supervisor
            self.state = PoolState.RUNNING
            self._exit = exits.register_exit(self.terminate, priority=EXIT_PRIORITY)
            disable_copies(self)
            try:
                # All signals are held back while workers start, and for ever in the supervisor,
                # which starts more of them: the main thread gets them all.
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                for seat in range(workers):
                    crew.hire(seat)
                supervisor.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except BaseException:
            self.state = PoolState.TERMINATING
            if supervisor is None:
                os.close(bell)
            else:
                supervisor.run()  # in this thread, unless its own has begun
                supervisor.wake()
            raise

    # ---- submitting

    def submit(self, task: Task, args: tuple[Any, ...], kwds: dict[str, Any]) -> None:
        """Send one call.

        Raises:
            ValueError: the pool is not running any more.
            InitializerFailed: it never was able to.
            Exception: whatever pickling raises.
        """
        if self.state is not PoolState.RUNNING:
            self.refuse()
        function = task.function
        sent = self.functions.find(function) or self.functions.publish(function)
        if sent is not None:
            task.kind = messages.CALL
            task.sent = sent
            payload = dumps((args, kwds))
        else:
            task.kind = messages.CARRIED_CALL
            task.sent = sent = CARRIED
            payload = dumps((function, args, kwds))
        task.payload = payload
        task.number = number = self.ledger.next_number()
        called_back = task.attend
        if called_back:
            self.with_callbacks.add(task)
        if len(payload) <= _core.INLINE_LIMIT:
            went = self.channel.submit(task, self.open, number, task.kind, *sent, payload)
        else:
            task.attend = True
            went = self.send(task)
        if not went:
            with self.lock:
                self.feeder.records.append(task)
        if called_back or not went:
            self.attendant.call()
        if not self.is_running():
            self._look_after_latecomers()

    def map(
        self,
        kind: int,
        function: Callable[..., Any],
        items: Sequence[Any],
        chunk_size: int | None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        attended: bool,
    ) -> MapJob:
        """Begin a map call; see ``MapJob``. ``attended``: the caller is going to wait for it."""
        if self.state is not PoolState.RUNNING:
            self.refuse()
        job = MapJob(self, kind, function, items, chunk_size, callback, error_callback)
        if job.answer is None:  # like the standard library, no callback where there are no items
            if job.has_callback:
                self.with_callbacks.add(job)
            self.feeder.jobs[job] = None
            try:
                self.feeder.feed_jobs()
            except BaseException:
                job.abandon()
                raise
            if not attended and (job.has_callback or not job.all_sent):
                self.attendant.call()
            if not self.is_running():
                self._look_after_latecomers()
        return job

    def stream(
        self, function: Callable[..., Any], items: Iterable[Any], chunk_size: int, *, ordered: bool
    ) -> StreamJob:
        """Begin an imap call; see ``StreamJob``."""
        if self.state is not PoolState.RUNNING:
            self.refuse()
        job = StreamJob(self, function, items, chunk_size, ordered)
        self.streams.add(job)
        try:
            job.pull()
        except BaseException:
            self.streams.discard(job)
            raise
        if not self.is_running():
            self._look_after_latecomers()
        return job

    def is_running(self) -> bool:
        """Whether it takes more work; any thread may change that at any time."""
        return self.state is PoolState.RUNNING

    def refuse(self) -> NoReturn:
        """Raise what a pool that takes no more work says."""
        refuse_copy(self)
        if self.state is PoolState.BROKEN:
            raise completed(self.end_error())
        raise ValueError("Pool not running")

    def send(self, record: Record) -> bool:
        """Put a record into the ring; False if there is no room."""
        # The answer to a large one is waited with until its block is known: under the lock.
        with self.lock:
            if self._finished:
                return False
            sent, number, kind = record.sent, record.number, record.kind
            # No call between the question and the sending, so no interrupt: it is sent once.
            if record.block is None and not self.channel.submit(
                record, self.open, number, kind, sent.number, sent.code, record.payload
            ):
                return False
            if record.block:
                record.payload = b""  # the block has it
        return True

    def send_by_value(self, record: Record, kind: int, error: bytes) -> None:
        """The workers do not know its function by name, or what its arguments are made of (`kind`
        says which). Runs code of the user's."""
        try:
            if kind == messages.BY_VALUE:
                record.sent = self.functions.publish(record.function, by_value=True) or record.sent
            elif not self._arguments_by_value(record):
                with self.lock:
                    record.arrive(self, messages.ERROR, error, 0)
                return
        except Exception as failure:
            with self.lock:
                record.arrive(self, FAILURE, failure, 0)
            return
        self.send_again(HeldRecord(Held.UNSTARTED, record))

    def _arguments_by_value(self, record: Record) -> bool:
        """Pickle them once more, with what they are made of; False if that was done already."""
        payload = self.channel.fetch(record.block) if record.block else record.payload
        if b"cloudpickle" in payload:
            return False
        by_value = dumps_by_value(loads_items(payload))
        with self.lock:
            self.free_payload(record)
            record.payload = by_value
        return True

    def send_again(self, held: HeldRecord) -> None:
        """Send a record once more that was certainly not run, before all others."""
        record = held.record
        assert record is not None
        with self.lock:
            if record.block:
                record.payload = self.channel.fetch(record.block)
                self.free_payload(record)
            record.block = None
            self.feeder.records.appendleft(record)
            self.feeder.feed_records()
            if self.feeder.records:
                self.attendant.call()

    def free_payload(self, record: Record) -> None:
        """A record is answered: its large arguments are not needed any more."""
        # No call before it is taken out of the record, so no interrupt: it is freed once.
        block = record.block
        if block:
            record.block = 0
            self.channel.free(block)

    # ---- collecting

    def collect(self) -> None:
        """Hand out what was answered, without running code of the user's."""
        if not self._finished:
            self.channel.collect(self.open, self.arrivals)
        with self.lock:
            arrivals = self.arrivals
            while True:
                try:
                    arrival = arrivals[0]
                except IndexError:  # no more: a signal handler may come in here, and do it all
                    break
                entry, kind, payload, last = arrival
                if kind in (messages.BY_VALUE, messages.ARGUMENTS_BY_VALUE):
                    self.attendant.send_by_value(arrival)
                elif entry is not None:
                    entry.arrive(self, kind, payload, last)
                elif kind == messages.READY:
                    self.supervisor.worker_is_ready(last)
                else:
                    self.supervisor.initializer_failed(payload)
                if arrivals and arrivals[0] is arrival:
                    arrivals.popleft()
            if self.feeder.records and not self._finished:
                self.feeder.feed_records()

    def step(self, entry: Any, timeout: float | None) -> bool | None:
        """Wait once: True when ``entry`` is answered, False when time is up, else None."""
        wakes = self.channel.wakes()  # first: what happens from here on is not slept over
        if self.feeder.jobs:
            self.feeder.feed_jobs()
        got = self.channel.wait(entry, self.open, self.arrivals, timeout, wakes)
        if got is None or self.feeder.records:
            self.collect()
        if entry is not self.attendant and self.attendant.is_current:
            self.attendant.serve()  # a callback waits, perhaps for another one
        return got

    def wait(self, entry: Task | MapJob, timeout: float | None = None) -> bool:
        """Wait until the entry is answered, and collect for all; False when time is up."""
        if self.lock._is_owned():  # type: ignore[attr-defined]
            with let_go(self.lock):  # a signal handler waits
                return self._wait(entry, timeout)
        return self._wait(entry, timeout)

    def _wait(self, entry: Task | MapJob, timeout: float | None) -> bool:
        # The hot path: nothing is to be done but to wait for a plain task.
        if timeout is None and self.attendant.is_unused and isinstance(entry, Task):
            channel = self.channel
            if channel.wait(entry, self.open, self.arrivals, None, channel.wakes()):
                return True
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        # Whoever should have fed a job may have been interrupted: look again after a while.
        longest = STEP if isinstance(entry, MapJob) else None
        if self.attendant.is_current:
            longest = FULL_RING_STEP
        while entry.answer is None:
            step = left if longest is None or (left is not None and left < longest) else longest
            if self.step(entry, step) is False and step == left:
                return entry.answer is not None
            if isinstance(entry, MapJob):
                entry.absorb()
            if self._finished:
                self._fail_latecomer(entry)
            if deadline is not None:
                left = max(0.0, deadline - monotonic())
        return True

    def _fail_latecomer(self, entry: Task | MapJob) -> None:
        """It came so late that not even the end of the pool saw it."""
        with self.lock:
            self.fail_all()
            if isinstance(entry, MapJob):
                entry.abandon(self.end_error())
            elif entry.answer is None:
                entry.answer = (FAILURE, self.end_error(), 0)

    # ---- the end

    def close(self) -> None:
        """Take no more work; the workers leave when all that was submitted is done."""
        refuse_copy(self)
        with self.lock:
            if self.state is not PoolState.RUNNING:
                return
            self.state = PoolState.CLOSING
        self._look_after_latecomers()

    def terminate(self, *, wait: bool = True) -> None:
        """End the workers now; what has no answer fails with ``PoolTerminated``."""
        if os.getpid() != self.pid:
            return
        self.state = PoolState.TERMINATING
        self.supervisor.wake()
        if wait:
            with let_go(self.lock):
                self.supervisor.end()
                self.attendant.join(1.0)

    def join(self) -> None:
        """Wait until the workers have ended and all callbacks were called."""
        refuse_copy(self)
        if self.attendant.is_current:
            raise RuntimeError("a pool can not be joined by one of its own callbacks")
        with let_go(self.lock):
            self.supervisor.join()
            self.attendant.join()

    def break_pool(self, cause: Cause) -> None:
        """Nothing can be run any more; because of an exception, perhaps still encoded."""
        with self.lock:
            if self.state in (PoolState.RUNNING, PoolState.CLOSING):
                self._broken_by = cause
                self.state = PoolState.BROKEN
        self.supervisor.wake()

    _broken_by: Cause = None

    def _look_after_latecomers(self) -> None:
        """Something was submitted about when the state changed: nobody else may look after it."""
        with self.lock:
            if self.state is PoolState.CLOSING and not self._finished:
                self.attendant.call()
            else:
                self.fail_all()

    def finish_closing(self) -> bool:
        """While closing: pull inputs without bounds; let the workers go when all is done."""
        if self.state is not PoolState.CLOSING or self._finished:
            return False
        for job in list(self.streams):
            job.lift_limit()
            job.pull()
        if not self.is_idle:
            return False
        self.channel.close()
        return True

    @property
    def is_finished(self) -> bool:
        """Whether the last worker is gone, and everything has an answer."""
        return self._finished

    @property
    def is_idle(self) -> bool:
        """Whether nothing that was submitted is left to do."""
        return (
            not self.open
            and not self.arrivals
            and self.feeder.is_empty
            and not self.streams
            and self.attendant.is_idle
        )

    @property
    def is_unattended(self) -> bool:
        """Whether something has to go on although nobody may be waiting for it."""
        if not self.feeder.is_empty or self.with_callbacks:
            return True
        return self.state is PoolState.CLOSING and not self.is_idle

    # ---- for the supervisor

    def bury(self, seat: int) -> HeldRecord:
        """Settle a dead worker's seat; what it held, taken out of the ledger. Under the lock."""
        remains = self.channel.bury(seat)
        if remains is None:
            return HeldRecord(Held.NOTHING)
        number, started, item = remains
        record = self.open.pop(number, None)
        if record is None:  # answered before it died
            return HeldRecord(Held.NOTHING)
        return HeldRecord(Held.STARTED if started else Held.UNSTARTED, record, item)

    def fail_held(self, held: HeldRecord, pid: int, exitcode: int | None) -> None:
        """Its worker died at it. Under the lock."""
        assert held.record is not None
        self._answer(held.record, (DEATH, Death(pid, exitcode, held.item), 0))

    def fail_all(self) -> None:
        """The pool is terminating or broken: whatever has no answer gets an error."""
        with self.lock:
            self.collect()
            records = [*self.attendant.stop(), *self.open.values(), *self.feeder.records]
            for record in records:
                self._answer(record, (FAILURE, self.end_error(), 0))
                self.open.pop(record.number, None)
            self.feeder.records.clear()
            for job in list(self.feeder.jobs):
                job.abandon(self.end_error())
            for stream in list(self.streams):
                stream.abandon(self.end_error())
            self.feeder.jobs.clear()
            self.streams.clear()

    def end_error(self) -> Exception:
        """What those get whose task can not be run any more."""
        return end_error(self.state, self._broken_by)

    def _answer(self, record: Record, answer: Answer) -> None:
        if record.attend is not False:
            record.arrive(self, *answer)
        else:
            record.answer = answer
            self.channel.wake(record)

    def finish(self) -> None:
        """The last worker is gone: give everything back. The supervisor's last act."""
        with self.lock:
            if self.state is not PoolState.CLOSING:
                self.fail_all()
            self._finished = True
            self.attendant.stop()
            self.functions.free_all()
            self.channel.release()
            _core.trim()  # what was large, and is kept warm for the next, may never be wanted again
            self.fail_all()  # what came in at the last moment
            if self._exit is not None:
                self._exit.cancel()
