"""What happens when a worker has ended: every case of the table."""

from __future__ import annotations

import itertools

import pytest

from procession._engine.policy import Held, Instruction, PoolState, WorkerEnded, decide

FAIL, RESEND = Instruction.FAIL_TASK, Instruction.RESEND_TASK
REPLACE, BREAK = Instruction.REPLACE_WORKER, Instruction.BREAK_POOL
RUNNING, CLOSING = PoolState.RUNNING, PoolState.CLOSING
BROKEN, TERMINATING = PoolState.BROKEN, PoolState.TERMINATING
PATIENCE = 3

# State, held, ready, tasks left, too many false starts: what is to be done.
TABLE = {
    (RUNNING, Held.NOTHING, True): (REPLACE,),
    (RUNNING, Held.UNSTARTED, True): (RESEND, REPLACE),
    (RUNNING, Held.STARTED, True): (FAIL, REPLACE),
    (RUNNING, Held.NOTHING, False): (REPLACE,),
    (RUNNING, Held.UNSTARTED, False): (RESEND, REPLACE),
    (RUNNING, Held.STARTED, False): (FAIL, REPLACE),
    (CLOSING, Held.NOTHING, True): (REPLACE,),
    (CLOSING, Held.UNSTARTED, True): (RESEND, REPLACE),
    (CLOSING, Held.STARTED, True): (FAIL, REPLACE),
    (CLOSING, Held.NOTHING, False): (REPLACE,),
    (CLOSING, Held.UNSTARTED, False): (RESEND, REPLACE),
    (CLOSING, Held.STARTED, False): (FAIL, REPLACE),
    (BROKEN, Held.NOTHING, True): (),
    (BROKEN, Held.UNSTARTED, True): (FAIL,),
    (BROKEN, Held.STARTED, True): (FAIL,),
    (BROKEN, Held.NOTHING, False): (),
    (BROKEN, Held.UNSTARTED, False): (FAIL,),
    (BROKEN, Held.STARTED, False): (FAIL,),
    (TERMINATING, Held.NOTHING, True): (),
    (TERMINATING, Held.UNSTARTED, True): (),
    (TERMINATING, Held.STARTED, True): (),
    (TERMINATING, Held.NOTHING, False): (),
    (TERMINATING, Held.UNSTARTED, False): (),
    (TERMINATING, Held.STARTED, False): (),
}

EVERYTHING = [
    (state, WorkerEnded(held, ready, tasks_left, false_starts))
    for state, held, ready, tasks_left, false_starts in itertools.product(
        PoolState, Held, (True, False), (True, False), range(PATIENCE + 3)
    )
]


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(itertools.product(PoolState, Held, (True, False)))


@pytest.mark.parametrize(("case", "instructions"), TABLE.items())
def test_with_tasks_left_and_patience(
    case: tuple[PoolState, Held, bool], instructions: tuple[Instruction, ...]
) -> None:
    state, held, ready = case
    for false_starts in range(PATIENCE + 1):
        ended = WorkerEnded(held, ready, tasks_left=True, false_starts=false_starts)
        assert decide(state, ended, patience=PATIENCE) == instructions


def test_a_running_pool_keeps_its_size_without_tasks_too() -> None:
    for state, ended in EVERYTHING:
        if state is RUNNING and (ended.ready or ended.false_starts <= PATIENCE):
            assert decide(state, ended, patience=PATIENCE)[-1] is REPLACE


@pytest.mark.parametrize("held", Held)
@pytest.mark.parametrize("ready", [True, False])
def test_nobody_is_hired_for_nothing_while_closing(held: Held, ready: bool) -> None:
    ended = WorkerEnded(held, ready, tasks_left=False, false_starts=0)
    assert decide(CLOSING, ended, patience=PATIENCE) == TABLE[CLOSING, held, ready][:-1]


@pytest.mark.parametrize("state", [RUNNING, CLOSING])
@pytest.mark.parametrize("held", Held)
@pytest.mark.parametrize("tasks_left", [True, False])
def test_one_false_start_too_many_breaks_the_pool(
    state: PoolState, held: Held, tasks_left: bool
) -> None:
    ended = WorkerEnded(held, False, tasks_left, PATIENCE + 1)
    assert decide(state, ended, patience=PATIENCE) == (*TABLE[state, held, False][:-1], BREAK)


def test_without_patience_the_first_false_start_breaks_it() -> None:
    ended = WorkerEnded(Held.NOTHING, ready=False, tasks_left=False, false_starts=1)
    assert decide(RUNNING, ended, patience=0) == (BREAK,)


def test_the_end_of_a_ready_worker_never_breaks_it() -> None:
    for state, ended in EVERYTHING:
        if ended.ready:
            assert BREAK not in decide(state, ended, patience=PATIENCE)


def test_a_task_is_failed_or_sent_again_and_a_started_one_never_runs_twice() -> None:
    for state, ended in EVERYTHING:
        instructions = decide(state, ended, patience=PATIENCE)
        about_the_task = [one for one in instructions if one in (FAIL, RESEND)]
        if ended.held is Held.NOTHING or state is TERMINATING:
            assert about_the_task == []
        else:
            assert len(about_the_task) == 1
        if ended.held is Held.STARTED:
            assert RESEND not in instructions


def test_a_worker_is_replaced_or_the_pool_broken_not_both() -> None:
    for state, ended in EVERYTHING:
        instructions = decide(state, ended, patience=PATIENCE)
        assert not {REPLACE, BREAK} <= set(instructions)
        assert len(instructions) == len(set(instructions))


def test_whoever_has_tasks_left_and_is_not_broken_has_somebody_to_do_them() -> None:
    for state, ended in EVERYTHING:
        if state in (RUNNING, CLOSING) and ended.tasks_left:
            assert {REPLACE, BREAK} & set(decide(state, ended, patience=PATIENCE))
