"""The whole engine, as the doors call it: submit, wait, close, terminate."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, NoReturn

from procession import _core
from procession._codec import messages, repeats
from procession._codec.functions import Sent
from procession._codec.objects import reducers
from procession._core import Channel
from procession._engine.attendant import FULL_RING_STEP, HOT_STEP, STEP, Attendant
from procession._engine.chunking import Pace
from procession._engine.copies import disable_copies, refuse_copy
from procession._engine.crew import Crew, seats_for
from procession._engine.ending import Cause, completed, end_error
from procession._engine.entries import Answer, Record, Task
from procession._engine.feeding import Feeder
from procession._engine.hiring import Terms
from procession._engine.holding import let_go
from procession._engine.ledger import Ledger
from procession._engine.maps import MapJob
from procession._engine.options import Options
from procession._engine.packing import Packer
from procession._engine.policy import Ended, Held, PoolState
from procession._engine.publishing import Publisher
from procession._engine.sending import Sender
from procession._engine.settling import Settler
from procession._engine.sharing import Sharing
from procession._engine.sources import Input, Source
from procession._engine.streams import StreamJob, begin
from procession._engine.supervisor import Supervisor
from procession._launch import cpus, exits, streams
from procession._worker.diary import Diary

RING_BYTES = 1 << 20
"""Of each ring: room for some ten thousand small tasks or results."""

_RUNNING: PoolState = PoolState.RUNNING  # to look a member up in its class costs a tenth of a task
EXIT_PRIORITY = 15  # pools end before other exit functions, as in the standard library

Seat = tuple[int, int, int, int, int, int, int]
"""Seat, task, items begun, end, items done, nanoseconds of the claim and of the item's begin."""


class Engine(Pace):
    """A channel, the workers behind it (from start() on), and the ledger of what they owe."""

    channel: Channel
    functions: Publisher
    attendant: Attendant
    supervisor: Supervisor

    fast: _core.FastPath | None = None
    """Sends the simplest calls, where the channel is the core's; it may leave any to submit()."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pid = os.getpid()
        self.state = PoolState.TERMINATING
        self.lock = threading.RLock()
        self.publishing = threading.RLock()  # of the functions
        self.ledger = Ledger()
        self.open = self.ledger.open
        self.arrivals: deque[tuple[Any, int, Any, int, int, int]] = deque()
        self.sender = Sender(self)
        self.next_number = self.ledger.next_number
        self.packer = Packer(self)
        self.pack = self.packer.pack
        self.settler = Settler(self)
        self.sharing = Sharing(self)
        self.feeder = Feeder(self.sender.send_waiting)
        self.send = self.sender.send
        self.send_again = self.sender.send_again
        self.send_first = self.sender.send_first
        self.payload_of = self.sender.payload_of
        self.free_payload = self.sender.free_payload
        self.streams: set[StreamJob] = set()
        self.with_callbacks: set[Task | MapJob] = set()
        self.bytes_under_way = 0  # of tasks whose options bound them
        self.counts_tasks = False
        """Whether workers are replaced after so many tasks: then nothing is joined into one."""

        self._finished = False
        self._exit: exits.ExitHandle | None = None

    @property
    def locks(self) -> tuple[threading.RLock, threading.RLock]:
        """What a signal handler that waits lets go."""
        return self.lock, self.publishing

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
        take_back = terms.agree_on_memory()
        bell = os.eventfd(0)
        diary = Diary()
        try:
            # A core is spare for the waiting thread while fewer tasks run than there are cores.
            capacity = seats_for(workers)
            self.channel = Channel(capacity, RING_BYTES, RING_BYTES, cpus.cpu_count(), bell)
            self.counts_tasks = terms.max_tasks is not None
            start = terms.starter(self.channel, diary, lambda: self.workers, mask)
            crew = Crew(self.channel, capacity, start)
            self.functions = Publisher(self.channel, self.ledger, self.publishing)
            self.attendant = Attendant(self)
            self.supervisor = Supervisor(self, crew, bell, terms, diary)
            supervisor = self.supervisor
            self.fast = _core.FastPath(self.channel, self.ledger, self.functions.by_name)
            self.turn(PoolState.RUNNING)
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
            self.turn(PoolState.TERMINATING)
            if supervisor is None:
                os.close(bell)
                diary.close()
            else:
                supervisor.run()  # in this thread, unless its own has begun
                supervisor.wake()
            take_back()
            raise

    # ---- submitting

    def submit(self, task: Task, args: tuple[Any, ...], kwds: dict[str, Any]) -> None:
        """Send one call.

        Raises:
            ValueError: the pool is not running any more.
            InitializerFailed: it never was able to.
            ArenaFull: there is no room for the arguments, and none came.
            Exception: whatever pickling raises.
        """
        if self.state is not _RUNNING:
            self.refuse()
        sent = self.functions.find(task.function) or self._publish(task.function)
        went: bool | bytes | None = None
        fast = self.fast
        is_simple = task.options.is_plain and not task.attend
        if fast is not None and is_simple and len(reducers.table) == reducers.harmless:
            went = None if sent is None else fast.send(task, sent, (args, kwds))
        if went is not True:
            self.sender.submit(task, sent, args, kwds, went)
        if self.is_shrunk:
            self.supervisor.work_came()
        if self.state is not _RUNNING:
            self.look_after_latecomers()

    def _publish(self, function: Callable[..., Any]) -> Sent | None:
        try:
            return self.functions.publish(function)
        except ValueError:
            if self._finished:  # the pool ended while we were at it
                self.refuse()
            raise

    def map(
        self,
        function: Callable[..., Any],
        source: Source,
        chunk_size: int | None,
        options: Options,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        attended: bool,
    ) -> MapJob:
        """Begin a map call; see ``MapJob``. ``attended``: the caller is going to wait for it."""
        if self.state is not _RUNNING:
            self.refuse()
        job = MapJob(self, function, source, chunk_size, options, callback, error_callback)
        job.show()
        if job.answer is None:  # like the standard library, no callback where there are no items
            if job.has_callback:
                self.with_callbacks.add(job)
            self.feeder.jobs[job] = None
            try:
                self.job_begins(options)
                self.feeder.feed_jobs()
            except BaseException:
                job.cancel()
                raise
            if not attended and (job.has_callback or not job.all_sent):
                self.attendant.call()
            if not self.is_running():
                self.look_after_latecomers()
        return job

    def stream(
        self,
        function: Callable[..., Any],
        source: Input,
        chunk_size: int | None,
        options: Options,
    ) -> StreamJob:
        """Begin an imap call; see ``StreamJob``."""
        if self.state is not _RUNNING:
            self.refuse()
        job = StreamJob(self, function, source, chunk_size, options)
        begin(job)
        return job

    def job_begins(self, options: Options) -> None:
        """A call is in our books now; who looks there before goes to rest, and has to be told."""
        if options.timeout is not None:
            self.supervisor.watch(options.timeout)
        if self.is_shrunk:
            self.supervisor.work_came()

    def seats(self) -> list[Seat]:
        """What the workers hold now; none once the pool has ended."""
        with self.lock:
            return [] if self._finished else self.channel.seats()

    def is_at_work(self, record: Record) -> bool:
        """Whether a worker is at it now."""
        return any(number == record.number for _, number, *_ in self.seats())

    def cancel(self, task: Task) -> bool:
        """Cancel a task, also one that runs: its worker is killed. False if it is answered."""
        refuse_copy(self)
        with self.lock:
            return self.settler.cancel(task)

    def cancel_waiting(self) -> None:
        """Cancel all that was submitted and is not started."""
        with self.lock:
            self.settler.cancel_waiting()

    def resize(self, workers: int) -> None:
        """Have so many workers from now on."""
        refuse_copy(self)
        with self.lock:
            self.supervisor.resize(workers)

    def is_running(self) -> bool:
        """Whether it takes more work; any thread may change that at any time."""
        return self.state is _RUNNING

    @property
    def is_shrunk(self) -> bool:
        """Whether workers were let go, or rest, because there was nothing to do."""
        return self.fast is not None and self.fast.is_shrunk

    @is_shrunk.setter
    def is_shrunk(self, value: bool) -> None:
        if self.fast is not None:
            self.fast.is_shrunk = value

    def refuse(self) -> NoReturn:
        """Raise what a pool that takes no more work says."""
        refuse_copy(self)
        if self.state is PoolState.BROKEN:
            raise completed(self.end_error())
        raise ValueError("Pool not running")

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
                entry, kind, payload, last, first, end = arrival
                if kind in (messages.BY_VALUE, messages.ARGUMENTS_BY_VALUE):
                    if entry is not None:  # else its call was given up, and its function with it
                        self.attendant.send_by_value(arrival)
                elif entry is not None:
                    entry.arrive(self, kind, payload, last, first, end)
                elif kind == messages.READY:
                    self.supervisor.worker_is_ready(last)
                elif kind == messages.RETIRING:
                    self.supervisor.worker_retires(last)
                elif kind == messages.LOG_RECORD:
                    self.attendant.handle_record(payload)
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
        # The hot path: nothing is to be done but to wait for a plain task. Not for long, for this
        # may be a signal handler, over somebody who has one of the locks.
        is_plain = timeout is None and self.attendant.is_unused and isinstance(entry, Task)
        if is_plain and self.channel.wait(entry, self.open, self.arrivals, HOT_STEP):
            return True
        if self.lock._is_owned() or self.publishing._is_owned():  # type: ignore[attr-defined]
            with let_go(*self.locks):
                return self._wait(entry, timeout)
        return self._wait(entry, timeout)

    def _wait(self, entry: Task | MapJob, timeout: float | None) -> bool:
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        # Whoever should have fed a job may have been interrupted: look again after a while.
        longest = STEP if isinstance(entry, MapJob) else None
        if self.attendant.is_current:
            longest = FULL_RING_STEP
        while entry.answer is None:
            most = FULL_RING_STEP if isinstance(entry, MapJob) and entry.is_short else longest
            step = left if most is None or (left is not None and left < most) else most
            if self.step(entry, step) is False and step == left:
                return entry.answer is not None
            if isinstance(entry, MapJob):
                entry.absorb()
            if self._finished:
                self.settler.fail_latecomer(entry)
            if deadline is not None:
                left = max(0.0, deadline - monotonic())
        return True

    # ---- the end

    def turn(self, state: PoolState) -> None:
        """Be in this state from now on; what is terminated is not closed any more."""
        if self.fast is not None:
            self.fast.is_running = state is _RUNNING  # first: then nothing comes in late
        if state is not PoolState.CLOSING or self.state is _RUNNING:  # nobody runs in between
            self.state = state

    def close(self) -> None:
        """Take no more work; the workers leave when all that was submitted is done."""
        refuse_copy(self)
        with self.lock:
            if self.state is not PoolState.RUNNING:
                return
            self.turn(PoolState.CLOSING)
        self.look_after_latecomers()

    def terminate(self, *, wait: bool = True, at_once: bool = False) -> None:
        """End the workers now; what has no answer fails with ``PoolTerminated``.

        With `at_once` they are killed, else they are asked first.
        """
        if os.getpid() != self.pid:
            return
        self.turn(PoolState.TERMINATING)
        if at_once:
            self.supervisor.hurry()
        self.supervisor.wake()
        if wait:
            with let_go(*self.locks):
                self.supervisor.end()
                self.attendant.join(1.0)

    def join(self) -> None:
        """Wait until the workers have ended and all callbacks were called."""
        refuse_copy(self)
        if self.attendant.is_current:
            raise RuntimeError("a pool can not be joined by one of its own callbacks")
        with let_go(*self.locks):
            self.supervisor.join()
            self.attendant.join()

    def break_pool(self, cause: Cause) -> None:
        """Nothing can be run any more; because of an exception, perhaps still encoded."""
        with self.lock:
            if self.state in (PoolState.RUNNING, PoolState.CLOSING):
                self._broken_by = cause
                self.turn(PoolState.BROKEN)
        self.supervisor.wake()

    _broken_by: Cause = None

    def look_after_latecomers(self) -> None:
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
            job.feed()
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

    def bury(self, seat: int, ended: Ended) -> Held:
        """Settle a dead worker's seat, and the task that it held. Under the lock."""
        return self.settler.bury(seat, ended)

    def options_of(self, number: int) -> Options | None:
        """The options of a task that has no answer yet."""
        record = self.open.get(number)
        return None if record is None else record.options

    def fail_all(self) -> None:
        """The pool is terminating or broken: whatever has no answer gets an error."""
        self.settler.fail_all()

    def end_error(self) -> Exception:
        """What those get whose task can not be run any more."""
        return end_error(self.state, self._broken_by)

    def answer(self, record: Record, answer: Answer) -> None:
        """Answer a record that left the ledger without its worker's answer. Under the lock."""
        if record.attend is not False:
            record.arrive(self, *answer)
        else:
            record.answer = answer
            self.channel.wake(record)

    def tidy(self) -> None:
        """At the end of the pool, and of threads that it did not wait for: what was large, and is
        kept for the next time, may never be wanted again."""
        if self._finished:
            repeats.forget()
            _core.trim()

    def finish(self) -> None:
        """The last worker is gone: give everything back. The supervisor's last act."""
        with self.lock:
            if self.state is not PoolState.CLOSING:
                self.fail_all()
            self._finished = True
            self.attendant.stop()
            self.functions.free_all()
            self.channel.release()
            self.tidy()
            self.fail_all()  # what came in at the last moment
            if self._exit is not None:
                self._exit.cancel()
