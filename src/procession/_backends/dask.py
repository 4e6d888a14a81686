"""Dask: each record is a task of its scheduler, run by whichever worker it chooses.

::

    Relay ── submit ──▶ waiting ──▶ client.submit(execute, run, ...) ─▶ scheduler ─▶ worker
               │       (no more under way                                  │           │
               ▼        than there are places)                   plugin `Once`:    run(request,
            Future ◀────── the answer, or Lost ◀─────────── a death ends a task      *values)

Everything behind ``submit`` happens in the thread of the client's event loop, so nothing is locked.
What is sent to Dask beyond the places it has would wait in the queue of a worker, and be taken for
dead with it; so that waits here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pickle
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, NamedTuple

from procession._backends.abilities import Ability
from procession._backends.dask_connection import Connection, connect
from procession._backends.dask_scheduler import MARK, attend
from procession._backends.seam import Loss

PIECE_NS = 50_000_000
"""A task costs Dask two milliseconds or more: some twentieth of this."""

SCATTERED = 1 << 16
"""Bytes from which a value is kept by the workers; smaller ones travel with each task."""

LARGE = 1 << 20
"""Bytes from which a task may be large to Dask."""

LOOK = 1.0
"""Seconds between two counts of the cluster's places."""


class Lost(Exception):
    """What a future of ours gets for an error of Dask's; that is its ``__cause__``."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.cause)
        self.loss = loss


class Kept:
    """A value that is kept for all tasks: sent along, or once to each worker."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.is_large = size_of(value) >= SCATTERED
        self._sent: asyncio.Task[Any] | None = None

    async def on_workers(self, client: Any) -> Any:
        """A future of Dask's for it; it is sent again if those who had it are lost."""
        if self._sent is None or (self._sent.done() and not self._is_there()):
            sending = client.scatter([self.value], broadcast=True, hash=False)
            self._sent = asyncio.ensure_future(sending)
        return (await asyncio.shield(self._sent))[0]

    def _is_there(self) -> bool:
        sent = self._sent
        return (
            sent is not None
            and not sent.cancelled()
            and sent.exception() is None
            and sent.result()[0].status == "finished"
        )


class Task(NamedTuple):
    """What was asked for and waits for its turn, or runs."""

    key: str
    future: Future[Any]
    run: Callable[..., Any]
    request: bytes
    handles: Sequence[Kept]


def execute(run: Callable[..., Any], request: bytes, small: bytes, *values: Any) -> Any:
    """What a worker of Dask's runs.

    Args:
        run: what is to be called.
        request: for it, pickled.
        small: the values, pickled: those that come as `values` are left out of them.
        values: those that Dask keeps, in their order.
    """
    large = iter(values)
    given = [next(large) if value is None else value[0] for value in pickle.loads(small)]
    return run(pickle.loads(request), *given)


class DaskBackend:
    """Dask as a `Backend`. It connects when it is made.

    What it connects to is what Dask's users expect: the `client` or `address` given here, else,
    within a task of Dask's, its worker's client (the task secedes then), else the client that this
    process has made already, else the address in Dask's configuration or the environment variable
    ``DASK_SCHEDULER_ADDRESS``, else processes of this machine, which end with the pool. The
    scheduler and the workers need this package installed.

    Args:
        max_workers: how many tasks may run at the same time; None: as many as the cluster has
            threads, however it grows and shrinks.
        address: of a scheduler, as ``"tcp://10.0.0.1:8786"``.
        client: a live ``distributed.Client``; it is not closed.
        workers: addresses, names or hosts of the workers that may be used; None: all.
        resources: what a task takes of the resources that the workers declare, as ``{"GPU": 1}``.
        priority: Dask's; higher ones run first.
        security: Dask's ``Security``, for a connection by TLS made here.
        timeout: seconds for the connection to be made, and for a lost one to be made again; None:
            what Dask is configured to.
        threads_per_worker: of processes that are started here.

    Raises:
        ModuleNotFoundError: Dask is not installed.
        ConnectionError: there is no scheduler at `address`.
        ValueError, TypeError: the arguments can not be.
    """

    name = "dask"
    abilities = frozenset({Ability.SURVIVES, Ability.PLACE, Ability.BROADCAST, Ability.INITIALIZER})
    piece_ns = PIECE_NS
    has_more = False  # those wait here
    local_advice = "distributed.Lock, Queue, Variable and their kin"

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        address: str | None = None,
        client: Any = None,
        workers: str | Sequence[str] | None = None,
        resources: Mapping[str, float] | None = None,
        priority: float = 0,
        security: Any = None,
        timeout: float | None = None,
        threads_per_worker: int = 1,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, not {max_workers}")
        if client is not None and address is not None:
            raise ValueError("give a client or an address, not both: a client has one")
        if threads_per_worker < 1:
            raise ValueError(f"threads_per_worker must be at least 1, not {threads_per_worker}")
        if not isinstance(priority, (int, float)):
            raise TypeError(f"priority must be a number, not {priority!r}")
        self._max_workers = max_workers
        self._filter = [workers] if isinstance(workers, str) else workers and list(workers)
        self._resources = dict(resources or {})
        self._how = {
            "pure": False,
            "retries": 0,
            "priority": priority,
            **({"workers": self._filter} if self._filter else {}),
            **({"resources": self._resources} if resources else {}),
        }
        here = {"n_workers": max_workers, "threads_per_worker": threads_per_worker}
        self._connection: Connection = connect(client, address, security, timeout, here)
        self._client = self._connection.client
        self._pid = os.getpid()
        self._prefix = f"{MARK}-{uuid.uuid4().hex}-"
        self._numbers = itertools.count()
        self._waiting: deque[Task] = deque()
        self._under_way: dict[Future[Any], Any] = {}
        self._carriers: set[asyncio.Task[None]] = set()
        self._open: set[Future[Any]] = set()
        self._comm: Any = None
        self._joining: asyncio.Task[None] | None = None
        self._is_closed = False
        try:
            self._places = self._connection.first_look(attend, *self._asked())
        except BaseException:
            self._connection.close()
            raise
        self._tell(self._begin)

    def workers(self) -> int:
        """How many tasks the cluster runs at the same time, and no more than ``max_workers``."""
        places = self._places if self._max_workers is None else min(self._places, self._max_workers)
        return max(1, places)

    def submit(self, run: Callable[..., Any], request: Any, handles: Sequence[Any]) -> Future[Any]:
        """Have a worker of Dask's call ``run(request, *values)``.

        Raises:
            Lost: the client is closed.
        """
        future: Future[Any] = Future()
        key = f"{self._prefix}{next(self._numbers)}"
        task = Task(key, future, run, pickle.dumps(request, 5), handles)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        self._tell(self._take, task)
        return future

    def put(self, value: Any) -> Any:
        """It is sent with the first task that needs it."""
        return Kept(value)

    def stop(self, future: Future[Any]) -> bool:
        """Have a task not run; Dask can not stop one that does."""
        return future.cancel() or future.done()

    def loss(self, error: BaseException) -> Loss | None:
        """What the error of a future of ours says."""
        return error.loss if isinstance(error, Lost) else None

    def close(self, *, kill: bool) -> None:
        """Let go of Dask; end what was started here."""
        if os.getpid() != self._pid:  # a forked copy
            return
        if not kill and not self._is_closed:
            wait(list(self._open))
        self._is_closed = True
        with contextlib.suppress(Lost):
            self._connection.run(self._end)
        self._connection.close()
        for future in list(self._open):
            _settle(future, Lost(Loss("its pool was closed", is_engine=True)))

    # From here on: in the thread of the client's loop.

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        if self._client.status not in ("running", "connecting"):
            raise Lost(self._gone())
        try:
            self._client.loop.add_callback(what, *arguments)
        except RuntimeError as error:  # the loop has ended in the meantime
            raise Lost(self._gone()) from error

    def _begin(self) -> None:
        self._comm = self._client.scheduler_comm
        self._watching = asyncio.ensure_future(self._watch())

    async def _end(self) -> None:
        self._watching.cancel()
        self._waiting.clear()
        theirs = list(self._under_way.values())
        if theirs and self._client.status == "running":
            with contextlib.suppress(Exception):
                await self._client.cancel(theirs, force=True)

    async def _watch(self) -> None:
        """Count the places from time to time, and notice a scheduler that was replaced."""
        while not self._is_closed:
            self._join()
            await asyncio.sleep(LOOK)

    def _take(self, task: Task) -> None:
        self._waiting.append(task)
        self._send()

    def _send(self) -> None:
        """Send what waits, as far as there are places."""
        if self._comm is not self._client.scheduler_comm or self._comm is None:
            self._join()  # to another scheduler, which knows nothing of us
            return
        while self._waiting and len(self._under_way) < self.workers():
            task = self._waiting.popleft()
            if task.future.set_running_or_notify_cancel():
                self._under_way[task.future] = None
                carrier = asyncio.ensure_future(self._carry(task))
                self._carriers.add(carrier)  # asyncio itself keeps none alive
                carrier.add_done_callback(self._carriers.discard)

    def _join(self) -> None:
        if not self._is_closed and (self._joining is None or self._joining.done()):
            self._joining = asyncio.ensure_future(self._attended())

    async def _attended(self) -> None:
        """Have the scheduler know of us, and its places counted; then go on."""
        while self._client.status == "connecting":
            await asyncio.sleep(0.02)
        comm = self._client.scheduler_comm
        if self._client.status != "running":
            self._give_up()
            return
        try:
            self._places = await self._client.run_on_scheduler(attend, *self._asked())
        except Exception:  # lost again; the next look will tell
            return
        self._comm = comm
        self._send()

    def _asked(self) -> tuple[Any, ...]:
        return self._filter, self._resources

    async def _carry(self, task: Task) -> None:
        """Have one task run, and give its future what comes of it."""
        try:
            answer = await self._answer(task)
        except BaseException as error:
            self._under_way.pop(task.future, None)
            loss = self._loss_of(error)
            outcome: Any = error
            if loss is not None:
                outcome = Lost(loss)
                outcome.__cause__ = error
                self._join()  # there are fewer places now
            _settle(task.future, outcome)
        else:
            self._under_way.pop(task.future, None)
            task.future.set_result(answer)
        self._send()

    async def _answer(self, task: Task) -> Any:
        client = self._client
        small = pickle.dumps([None if kept.is_large else (kept.value,) for kept in task.handles], 5)
        large = [await kept.on_workers(client) for kept in task.handles if kept.is_large]
        arguments = [task.request, small, *large]
        with _unwarned(len(task.request) + len(small)):
            theirs = client.submit(execute, task.run, *arguments, key=task.key, **self._how)
        self._under_way[task.future] = theirs
        return await theirs

    def _give_up(self) -> None:
        self._waiting.clear()
        for future in list(self._open):
            if future not in self._under_way:
                _settle(future, Lost(self._gone()))

    def _gone(self) -> Loss:
        if self._is_closed:
            return Loss("its pool was closed", is_engine=True)
        return Loss(
            "the connection to Dask's scheduler is lost for good (Client.status: "
            f"{self._client.status!r}): start the scheduler again, and make a new pool",
            is_engine=True,
        )

    def _loss_of(self, error: BaseException) -> Loss | None:
        """What an error of Dask's means for a task of ours; None: it is no loss."""
        kind = type(error).__name__
        if kind == "KilledWorker":
            worker = error.last_worker  # type: ignore[attr-defined]
            return Loss(f"Dask's worker {worker.address} ended", worker.pid, worker.host)
        if self._client.status not in ("running", "connecting"):
            return self._gone()
        if kind in ("FutureCancelledError", "FuturesCancelledError"):
            reason = getattr(error, "reason", "") or str(error)
            return Loss(_REASONS.get(reason, f"Dask cancelled it (reason: {reason})"))
        if isinstance(error, (OSError, asyncio.CancelledError)):  # CommClosedError is an OSError
            return Loss(f"the connection to Dask broke ({kind}: {error})")
        return None


_REASONS = {
    "scheduler-connection-lost": "the connection to Dask's scheduler was lost",
    "scheduler-restart": "Dask's workers were restarted (Client.restart())",
    "lost dependencies": "the workers that kept what it needs ended",
}


def _unwarned(size: int) -> AbstractContextManager[object]:
    """Dask warns of large tasks, and has its users scatter what those have in common. Here each
    has its own arguments: what they have in common is share()d, and scattered."""
    if size < LARGE:
        return contextlib.nullcontext()
    config: Any = import_module("dask").config
    most: AbstractContextManager[object] = config.set({_WARNS_FROM: 2 * size})
    return most


_WARNS_FROM = "distributed.admin.large-graph-warning-threshold"


def _settle(future: Future[Any], error: BaseException) -> None:
    """Give a future its error, unless somebody was quicker."""
    with contextlib.suppress(Exception):  # InvalidStateError: it is done, or cancelled
        future.set_exception(error)


def size_of(value: Any) -> int:
    """About how many bytes a value has: those of its buffer, or of its pickle."""
    with contextlib.suppress(TypeError):  # it has none
        return memoryview(value).nbytes
    return len(pickle.dumps(value, 5))
