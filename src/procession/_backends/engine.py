"""A pool's engine whose tasks are run by another engine: all of ``_engine`` but the workers."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, MutableMapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from procession._backends.abilities import Ability
from procession._backends.bells import Bell
from procession._backends.flights import Cargo
from procession._backends.overseer import Overseer
from procession._backends.packing import GivenPayload, Packing, Shares, kept_by, pack
from procession._backends.publishing import GivenPublishing, Publishing
from procession._backends.relay import Relay
from procession._backends.remote import GivenRequest, Request, run, run_given
from procession._backends.seam import Backend
from procession._backends.settling import ChunkSettler
from procession._engine.attendant import Attendant
from procession._engine.copies import disable_copies
from procession._engine.engine import EXIT_PRIORITY, Engine
from procession._engine.entries import Record
from procession._engine.policy import PoolState
from procession._launch import exits

MOST_REACH = 64
"""So many times as many tiny items may be ahead as on the local workers, at most."""

Initializer = tuple[Callable[..., Any], tuple[Any, ...]]

JOURNEYS = 2
"""The time of a piece by the least that is worth a journey."""


class BorrowedEngine(Engine):
    """The engine of a pool elsewhere.

    Args:
        backend: runs the tasks. It is the engine's from now on, and closed at its end.
        most: tasks at the same time, at most; None for as many as the backend has workers.
        initializer: a function and its arguments, to be called once in each worker.
    """

    relay: Relay
    times_records = True

    def __init__(
        self, backend: Backend, most: int | None = None, initializer: Initializer | None = None
    ) -> None:
        there = max(1, backend.workers())
        super().__init__(there if most is None else min(most, there))
        self._has_more = backend.has_more or there > self.workers
        self.settler = ChunkSettler(self)
        self.backend = backend
        self.map_ns = max(1, backend.piece_ns)
        self.journey_ns = self.map_ns // JOURNEYS
        self.reach = max(1, min(MOST_REACH, self.map_ns // self.stream_ns))
        self.stream_ns = self.map_ns
        self._most = most
        self._token = secrets.token_hex(16)
        self._shares = Shares(backend)
        self._paces: MutableMapping[Any, float] = WeakKeyDictionary()
        self._is_given = Ability.BY_REFERENCE in backend.abilities
        self._initializer = initializer
        self._packed_initializer = (
            None
            if initializer is None or self._is_given
            else bytes(pack(initializer, backend, beside=False))
        )

    def pace_of(self, function: Callable[..., Any]) -> float:
        try:
            return self._paces.get(function, 0.0)
        except TypeError:  # it can not be hashed, or nobody can tell when it is gone
            return 0.0

    def note_pace(self, function: Callable[..., Any], nanoseconds: float) -> None:
        with contextlib.suppress(TypeError):
            self._paces[function] = nanoseconds

    def open_up(self) -> None:
        """Begin: the threads that hand on and look after it are started."""
        backend, bell = self.backend, Bell()
        self.relay = Relay(backend, self.open, self._load, bell.ring)
        self.relay.resize(self.workers, has_more=self._has_more)
        self.channel = cast(Any, self.relay)
        functions = GivenPublishing() if self._is_given else Publishing(backend, self.ledger)
        self.functions = cast(Any, functions)
        self.packer = cast(Any, Packing(self, backend))
        self.pack = self.packer.pack
        self.attendant = Attendant(self)
        overseer = Overseer(self, backend, bell, self._most)
        self.supervisor = cast(Any, overseer)
        self.turn(PoolState.RUNNING)
        self._exit = exits.register_exit(self.terminate, priority=EXIT_PRIORITY)
        disable_copies(self)
        try:
            self.relay.start()
            overseer.start()
        except BaseException:
            self.turn(PoolState.TERMINATING)
            overseer.wake()
            if not overseer.is_started:
                overseer.run()  # in this thread
            raise

    def finish(self) -> None:
        """All has its answer: give everything back. The overseer's last act but one."""
        super().finish()
        self._shares.clear()

    def _load(self, record: Record) -> Cargo:
        """What the backend is given of a record. Raises LookupError if it was freed meanwhile."""
        payload = record.payload
        number, _ = record.sent
        if isinstance(payload, GivenPayload):
            given = GivenRequest(
                self._token,
                record.kind,
                record.function,
                payload.value,
                record.first,
                record.end,
                self._initializer,
            )
            return Cargo(run_given, given, ())
        function: bytes | None = b""
        handles: list[Any] = []
        if number:
            published = self.functions.published(record.sent)  # type: ignore[attr-defined]
            function = published.content
            if published.handle is not None:
                function = None
                handles.append(published.handle)
        handles += [self._shares.handle(memory) for memory in kept_by(payload)]
        request = Request(
            self._token,
            record.kind,
            number,
            function,
            bytes(payload),
            record.first,
            record.end,
            self._packed_initializer,
        )
        return Cargo(run, request, handles)
