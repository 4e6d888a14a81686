"""What a task's options ask for before it is sent: room for it, and a look at the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession._codec import messages
from procession._codec.buffers import size_of
from procession._engine.entries import Task

if TYPE_CHECKING:
    from procession._engine.engine import Engine

STEP = 0.005
"""Seconds between two looks whether there is room for one more task."""


def prepare(engine: Engine, task: Task) -> None:
    """Prepare a task with options that are not plain. Waits while too much is under way.

    Raises:
        ValueError: one of them is not for a single task.
    """
    options = task.options
    if options.journal is not None:
        raise ValueError(
            "a journal is for calls over many items (map, starmap, imap, ... and an executor's "
            "map): use one of these, or options(journal=None) for this task"
        )
    if options.max_in_flight is not None or options.max_bytes is not None:
        _wait_for_room(engine, task, size_of(task.payload))
    if options.max_bytes is not None:
        task.attend = True
        engine.bytes_under_way += size_of(task.payload)
    if options.retries:
        task.attend = True
    if options.timeout is not None:
        engine.supervisor.watch(options.timeout)
        if options.grace is not None:
            task.kind |= messages.GUARDED


def _wait_for_room(engine: Engine, task: Task, size: int) -> None:
    options = task.options
    while engine.is_running() and task.is_wanted:
        waiting = engine.feeder.records
        tasks = len(engine.open) + len(waiting)
        full = options.max_in_flight is not None and tasks >= options.max_in_flight
        heavy = (
            options.max_bytes is not None
            and engine.bytes_under_way > 0
            and engine.bytes_under_way + size > options.max_bytes
        )
        if not full and not heavy:
            return
        wait_for_news(engine, STEP)


def wait_for_news(engine: Engine, timeout: float) -> None:
    """Wait until something was answered, at most so many seconds; collects what there is."""
    oldest = engine.ledger.earliest() or next(iter(engine.feeder.records), None)
    engine.step(oldest or engine.attendant, timeout)
