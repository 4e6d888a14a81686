"""Ray: each record is a stateless task of it, run on whichever node has room.

::

    Relay ── submit ──▶ noted.remote(run, ..., request, *refs)     a worker of Ray, on any node
                │            │                                     │ notes number, time, pid, node
                │            └─ ref.future() ◀── Response ─────────┤   in Ray's key-value store
                ▼                    │ an error of Ray's           └ run(request, *values)
             Future ◀────────────────┴─▶ Attendant: looks up the note, makes the Loss

Tasks and no actors: a task can be stopped by force, and a worker that died is replaced by Ray.
Retries are ours (``max_retries=0``), so that they are counted, and told of, as on other engines.

An error of Ray's does not say which worker died. So a worker notes in Ray's own key-value store
what it begins, under a key of its own that it writes over with the next; the note of a dead one
stays, and is looked up when its task's error has come.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import cache, partial
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from procession._backends.abilities import Ability
from procession._backends.ray_losses import loss_of
from procession._backends.seam import Loss
from procession._threads import Thread

KEEPALIVE = {
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
}
"""How soon Ray sees that a link is cut; with its own values a driver waits for minutes."""

LOCAL = {"RAY_USAGE_STATS_ENABLED": "0", **KEEPALIVE}
"""What a Ray finds in its environment that is started here, unless it says otherwise."""

PIECE_NS = 50_000_000
"""A task costs Ray a millisecond or two, and is ten to thirty on its way: about as long as this."""

COUNTED = 1.0
"""Seconds that a count of the cluster's workers is good for."""

MOMENT = 0.2
"""Seconds that a task has to end by itself, before Ray is asked to kill its worker. Ray (2.60) ends
this whole process if the result of a task that it is to cancel comes just then."""

LOOK = 0.5
"""Seconds between two looks at whether Ray is still there; it tells nobody of its shutdown."""

_SPACE = b"procession"


class Note(NamedTuple):
    """What a worker noted when it began a task.

    Attributes:
        began: seconds of its node's clock.
        pid, node: who and where it is.
    """

    began: float
    pid: int
    node: str


class UnderWay(NamedTuple):
    """A task that Ray was given: what it calls that, and what we do."""

    ref: Any
    number: int


class Lost(Exception):
    """What a future of ours gets for an error of Ray's; that is its ``__cause__``."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.cause)
        self.loss = loss


def noted(run: Callable[..., Any], pool: bytes, number: int, request: Any, *values: Any) -> Any:
    """What Ray runs: notes who runs it, so that a death has a name, and runs it.

    Args:
        run: what is to be called.
        pool: prefix of the pool's keys.
        number: the task's.
        request: for `run`.
        values: what the references stand for.
    """
    with contextlib.suppress(Exception):  # the work is more than the note
        put, worker, place = _writing()
        note = b"%d %.3f %s" % (number, time.time(), place)
        put(pool + worker, note, overwrite=True, namespace=_SPACE)
    return run(request, *values)


@cache
def _writing() -> tuple[Callable[..., Any], bytes, bytes]:
    """How this worker notes something: the call, its own key, its place."""
    ray = import_module("ray")
    store = import_module("ray.experimental.internal_kv")
    place = f"{os.getpid()} {ray.util.get_node_ip_address()}"
    worker: str = ray.get_runtime_context().get_worker_id()
    return store._internal_kv_put, worker.encode(), place.encode()


class _Connections:
    """Whether this process's connection to Ray is ours, and how many backends use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._ours = ""  # the job that we began

    def open(self, ray: Any, connect: Callable[[], None]) -> str:
        """Connect, unless somebody has. Returns the job's id."""
        with self._lock:
            if not ray.is_initialized():
                connect()
                self._users, self._ours = 0, job_of(ray)
            self._users += job_of(ray) == self._ours
            return job_of(ray)

    def close(self, ray: Any, job: str) -> None:
        """Let go of the connection; the last user ends it, if it is ours."""
        with self._lock:
            if not job or job != self._ours:
                return
            self._users -= 1
            if not self._users and job_of(ray) == job:
                self._ours = ""
                ray.shutdown()


_connections = _Connections()


def job_of(ray: Any) -> str:
    """Which of Ray's jobs this process is; "" if it is not connected."""
    if not ray.is_initialized():
        return ""
    with contextlib.suppress(Exception):  # it may be shut down at the same time
        return str(ray.get_runtime_context().get_job_id())
    return ""


class RayBackend:
    """Ray as a `Backend`. It connects when it is made.

    If this process is connected to Ray already (``ray.init()``), that is used, and left alone
    afterwards. Else it is what Ray's users expect: the cluster at `address`, or that of the
    environment variable ``RAY_ADDRESS``, or one that runs on this machine (``ray start``), or one
    that is started here and ended with the pool.

    Args:
        max_workers: how many tasks may run at the same time; None: as many as the cluster has room
            for, however it grows and shrinks.
        address: ``"10.0.0.1:6379"``, ``"auto"``, ``"local"`` (start one here); None: see above.
        namespace: Ray's, for the connection made here.
        num_cpus: how many CPUs of Ray's a task takes; fractions are allowed.
        num_gpus: how many GPUs.
        memory: bytes that a task takes of the memory that Ray hands out.
        resources: resources of the user's own, as ``{"disk": 1}``.
        scheduling_strategy: Ray's: ``"SPREAD"``, ``"DEFAULT"`` or an object of it.
        runtime_env: what Ray shall put in place on the nodes (``env_vars``, ``pip``,
            ``py_modules``, ``working_dir`` ...).
        start: keywords of ``ray.init()`` for a Ray that is started here, as
            ``{"object_store_memory": 10**9}``.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: there is no Ray at `address`.
        ValueError: the arguments can not be, or this process is connected to another Ray.
    """

    name = "ray"
    abilities = frozenset(
        {
            Ability.STOP,
            Ability.SURVIVES,
            Ability.PLACE,
            Ability.BROADCAST,
            Ability.INITIALIZER,
        }
    )
    piece_ns = PIECE_NS
    has_more = False

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        address: str | None = None,
        namespace: str | None = None,
        num_cpus: float = 1,
        num_gpus: float | None = None,
        memory: float | None = None,
        resources: Mapping[str, float] | None = None,
        scheduling_strategy: Any = None,
        runtime_env: Mapping[str, Any] | None = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, not {max_workers}")
        if num_cpus < 0:
            raise ValueError(f"num_cpus must be 0 or more, not {num_cpus}")
        self._ray = ray = installed()
        self._takes = {
            **({"CPU": num_cpus} if num_cpus else {}),
            **({"GPU": num_gpus} if num_gpus else {}),
            **({"memory": memory} if memory else {}),
            **(resources or {}),
        }
        if not self._takes and max_workers is None:
            raise ValueError("tasks that take no resources need max_workers=")
        self._max_workers = max_workers
        here = {"namespace": namespace, "runtime_env": dict(runtime_env) if runtime_env else None}
        begun = ray.is_initialized()
        if begun:
            _same_cluster(ray, address)
        room = None if max_workers is None else max(1, round(max_workers * num_cpus))
        self._pid = os.getpid()
        self._job = _connections.open(
            ray, lambda: _connect(ray, address, here, {"num_cpus": room, **(start or {})})
        )
        self._task = ray.remote(noted).options(
            max_retries=0,
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            memory=memory,
            resources=dict(resources) if resources else None,
            **({"scheduling_strategy": scheduling_strategy} if scheduling_strategy else {}),
            **({"runtime_env": here["runtime_env"]} if begun and runtime_env else {}),
        )
        self._pool = f"{uuid.uuid4().hex}:".encode()
        self._numbers = itertools.count()
        self._under_way: dict[Future[Any], UnderWay] = {}
        self._attendant = _Attendant(self)
        self._counted = 0.0
        self._count = 1

    def workers(self) -> int:
        """How many such tasks the cluster has room for, and no more than ``max_workers``."""
        now = time.monotonic()
        if not self._counted or now > self._counted + COUNTED:
            with contextlib.suppress(Exception):  # the head is restarted: the old count will do
                self._count = self._room(self._ray.cluster_resources())
            self._counted = now
        return self._count

    def _room(self, has: Mapping[str, float]) -> int:
        rooms = [int(has.get(name, 0) / takes) for name, takes in self._takes.items() if takes]
        most = self._max_workers
        self.has_more = most is not None and all(room > most for room in rooms)
        return max(1, min(rooms if most is None else [most, *rooms]))

    def submit(self, run: Callable[..., Any], request: Any, handles: Sequence[Any]) -> Future[Any]:
        """Have Ray call ``run(request, *values)``.

        Raises:
            RuntimeError: Ray was shut down.
        """
        if not self.connected():
            raise RuntimeError(_GONE)
        number = next(self._numbers)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # it is stop() that cancels
        ref = self._task.remote(run, self._pool, number, request, *handles)
        self._under_way[future] = UnderWay(ref, number)
        self._attendant.look_after()
        ref.future().add_done_callback(partial(self._answered, future, number))
        return future

    def _answered(self, future: Future[Any], number: int, theirs: Future[Any]) -> None:
        """In a thread of Ray's, which must not be held up."""
        error = theirs.exception()
        if error is not None:
            self._attendant.news.put((future, number, error))
        elif self._under_way.pop(future, None) is not None:
            future.set_result(theirs.result())

    def put(self, value: Any) -> Any:
        """A reference to it in Ray's object store; arrays come out as read-only views of that."""
        return self._ray.put(value)

    def stop(self, future: Future[Any]) -> bool:
        """Have Ray kill the worker, in a moment; its CPU is free when the future is done."""
        if future in self._under_way:
            self._attendant.stop(future)
        return future.done()

    def kill(self, future: Future[Any]) -> None:
        """Have Ray kill the worker, if the task has not ended."""
        known = self._under_way.get(future)
        if known is not None:
            with contextlib.suppress(Exception):
                self._ray.cancel(known.ref, force=True)

    def loss(self, error: BaseException) -> Loss | None:
        """What the error of a future of ours says."""
        return error.loss if isinstance(error, Lost) else None

    def close(self, *, kill: bool) -> None:
        """Let go of Ray; end it if it was started here, and nobody else of ours uses it."""
        if os.getpid() != self._pid:  # a forked copy
            return
        wait(list(self._under_way), MOMENT if kill else None)
        for future in list(self._under_way):
            self.kill(future)
        self._attendant.end()
        with contextlib.suppress(Exception):
            if self.connected():
                self._store()._internal_kv_del(self._pool, del_by_prefix=True, namespace=_SPACE)
        job, self._job = self._job, ""
        _connections.close(self._ray, job)
        self.give_up("its pool was closed")

    def connected(self) -> bool:
        """Whether this process still has the connection that it had at the beginning."""
        return bool(self._job) and job_of(self._ray) == self._job

    def give_up(self, cause: str) -> None:
        """No answer can come any more."""
        for future in list(self._under_way):
            self.bury(future, Loss(cause, is_engine=True), None)

    def bury(self, future: Future[Any], loss: Loss, error: BaseException | None) -> None:
        """Give a future its error."""
        if self._under_way.pop(future, None) is not None:
            lost = Lost(loss)
            lost.__cause__ = error
            future.set_exception(lost)

    def running(self, future: Future[Any]) -> float | None:
        """Seconds since a worker began it, by the nodes' clocks; 0 if none has, None if unknown."""
        known = self._under_way.get(future)
        if known is None:
            return None
        try:
            note = self.note_of(known.number)
        except Exception:  # Ray is not to be reached now
            return None
        return 0.0 if note is None else max(0.0, time.time() - note.began)

    def place_of(self, number: int) -> tuple[int | None, str | None]:
        """The process id and node that a task was begun on, as far as they were noted."""
        with contextlib.suppress(Exception):
            note = self.note_of(number)
            if note is not None:
                return note.pid, note.node
        return None, None

    def note_of(self, number: int) -> Note | None:
        """What a worker noted when it began a task."""
        for text in self._notes():
            noted_number, began, pid, node = text.decode().split(" ", 3)
            if int(noted_number) == number:
                return Note(float(began), int(pid), node)
        return None

    def _notes(self) -> Iterator[bytes]:
        store = self._store()
        for key in store._internal_kv_list(self._pool, namespace=_SPACE):
            text = store._internal_kv_get(key, namespace=_SPACE)
            if text is not None:
                yield text

    def _store(self) -> Any:
        return import_module("ray.experimental.internal_kv")


class _Attendant:
    """The thread that may wait for Ray: looks up who died, and whether Ray is there at all."""

    def __init__(self, backend: RayBackend) -> None:
        # What was lost, or is to be stopped; None is the end.
        self.news: SimpleQueue[Any] = SimpleQueue()
        self._backend = backend
        self._unwanted: deque[tuple[float, Future[Any]]] = deque()  # when to have them killed
        self._lock = threading.Lock()
        self._thread: Thread | None = None

    def look_after(self) -> None:
        """Begin, at the first call."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = Thread(target=self._attend, name="procession-ray", daemon=True)
                    self._thread.start()

    def stop(self, future: Future[Any]) -> None:
        """Have it killed, if it does not end by itself."""
        self.news.put(future)

    def end(self) -> None:
        """Come back when everything that was lost is settled."""
        with self._lock:
            if self._thread is not None:
                self.news.put(None)
                self._thread.join()

    def _attend(self) -> None:
        while True:
            now, sleep = time.monotonic(), LOOK
            while self._unwanted and self._unwanted[0][0] <= now:
                self._backend.kill(self._unwanted.popleft()[1])
            if self._unwanted:
                sleep = self._unwanted[0][0] - now
            try:
                news = self.news.get(timeout=sleep)
            except Empty:
                if not self._backend.connected():
                    self._backend.give_up(_GONE)
                continue
            if news is None:
                return
            if isinstance(news, Future):
                self._unwanted.append((time.monotonic() + MOMENT, news))
                continue
            if not self._backend.connected():  # that comes of it, too
                self._backend.give_up(_GONE)
                continue
            future, number, error = news
            pid, node = self._backend.place_of(number)
            self._backend.bury(future, loss_of(error)._replace(pid=pid, node=node), error)


_GONE = "Ray was shut down, or left (ray.shutdown()), while a pool used it"


def installed() -> Any:
    """The module ``ray``.

    Raises:
        ModuleNotFoundError: it is not installed; says how.
    """
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Ray is not installed; pip install 'procession[ray]'", name=error.name
        ) from error


def _same_cluster(ray: Any, address: str | None) -> None:
    """A process has one connection to Ray: another address is a mistake."""
    ours = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", "local", ours):
        raise ValueError(
            f"this process is connected to Ray at {ours}, and can not use that at {address} as "
            "well: leave out address=, or call ray.shutdown() first"
        )


def _connect(
    ray: Any, address: str | None, here: Mapping[str, Any], start: Mapping[str, Any]
) -> None:
    """Do what ``ray.init(address)`` does, with our variables."""
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is None:
        try:
            with _environment(KEEPALIVE):
                ray.init(address="auto", **here)
            return
        except ConnectionError:  # none is running here
            address = "local"
    if address == "local":
        with _environment(LOCAL):
            ray.init(address="local", **here, **{"include_dashboard": False, **start})
    else:
        with _environment(KEEPALIVE):
            ray.init(address=address, **here)


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """With these variables where they are not set."""
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
