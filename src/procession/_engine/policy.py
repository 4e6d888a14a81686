"""What a worker's end means. Pure: facts in, instructions out; no clock, no threads, no I/O.

=============  ====================  =============================================
pool           the worker held       instructions
=============  ====================  =============================================
running        a started task        fail that task; replace the worker
running        a task not started    send that task again; replace the worker
running        nothing, was ready    replace the worker
running        nothing, not ready    replace; after too many in a row, break
closing        (as running)          as running, while tasks are left; else nothing
broken         a task                fail that task
terminating    a task                nothing: all tasks fail as terminated
=============  ====================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PoolState(Enum):
    """The life of a pool. It only ever moves down this list."""

    RUNNING = "running"
    CLOSING = "closing"
    BROKEN = "broken"
    TERMINATING = "terminating"


class Held(Enum):
    """What a worker held when it ended."""

    NOTHING = "nothing"
    UNSTARTED = "unstarted"
    STARTED = "started"


class Instruction(Enum):
    """What the engine is to do about it."""

    FAIL_TASK = "fail the task"
    RESEND_TASK = "send the task again"
    REPLACE_WORKER = "replace the worker"
    BREAK_POOL = "break the pool"


@dataclass(frozen=True)
class WorkerEnded:
    """The facts of a worker's end.

    Attributes:
        held: its claim, after everything it published was collected.
        ready: whether it ever reported to be initialised.
        tasks_left: whether any task has no outcome yet, the held one included.
        false_starts: how many workers ended before they were ready, without one that got
            ready in between; this one included.
    """

    held: Held
    ready: bool
    tasks_left: bool
    false_starts: int


def decide(state: PoolState, ended: WorkerEnded, *, patience: int) -> tuple[Instruction, ...]:
    """The instructions for one worker's end; ``patience``: false starts that are borne."""
    if state is PoolState.TERMINATING:
        return ()
    about_task = {
        Held.NOTHING: (),
        Held.STARTED: (Instruction.FAIL_TASK,),
        Held.UNSTARTED: (
            (Instruction.FAIL_TASK,) if state is PoolState.BROKEN else (Instruction.RESEND_TASK,)
        ),
    }[ended.held]
    if state is PoolState.BROKEN:
        return about_task
    if not ended.ready and ended.false_starts > patience:
        return (*about_task, Instruction.BREAK_POOL)
    if state is PoolState.CLOSING and not ended.tasks_left:
        return about_task
    return (*about_task, Instruction.REPLACE_WORKER)
