"""Workers that die: nobody waits for ever, nothing else is lost, and the cause is named."""

from __future__ import annotations

import os
import resource
import signal
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import pytest

from tests.field.doors import PROGRAM_HEAD, Door, mp, outcome, square
from tests.plugins.scripts import RunScript
from tests.pool.gates import Log

DEATHS = pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM", "exit"])
METHODS = pytest.mark.parametrize("method", ["fork", "forkserver"])


def _die(how: str = "SIGKILL") -> None:
    if how == "exit":
        os._exit(3)
    number = signal.Signals[how]
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)


def _die_at_ten(x: int) -> int:
    if x == 10:
        _die()
    return x


def _die_for(log: Log, times: int) -> int:
    """Dies in its first runs; how often it was run, then."""
    log.write("run")
    runs = len(log.lines())
    if runs <= times:
        _die()
    return runs


def _wait(event: Any) -> None:
    event.wait()


@DEATHS
def test_a_death_makes_nobody_wait_for_ever(door: type[Door], how: str) -> None:
    with door(1) as pool:  # the one that takes over must get at the queue, too
        with pytest.raises(mp.WorkerDied, match="_die") as caught:
            pool.call(_die, how)
        assert caught.value.signal == (None if how == "exit" else how)
        assert pool.map(square, range(100)) == [x * x for x in range(100)]


def test_a_map_over_a_death_ends(door: type[Door]) -> None:
    with door(2) as pool:
        with pytest.raises(mp.WorkerDied) as caught:
            pool.map(_die_at_ten, range(20))
        assert caught.value.item == 10
        assert pool.map(square, range(20)) == [x * x for x in range(20)]


def test_a_death_costs_no_other_call_its_result(door: type[Door]) -> None:
    with door(2) as pool:
        results = [pool.submit(_die_at_ten, x) for x in range(200)]
        found = [outcome(partial(pool.get, result), mp.WorkerDied) for result in results]
        assert isinstance(found[10], mp.WorkerDied)
        assert [x for x in found if isinstance(x, int)] == [x for x in range(200) if x != 10]


def test_nobody_has_to_build_it_anew_after_a_death(door: type[Door]) -> None:
    with door(2) as pool:
        for _ in range(10):
            with pytest.raises(mp.WorkerDied):
                pool.call(_die)
        assert pool.call(square, 7) == 49


def test_who_catches_broken_process_pool_catches_a_death(door: type[Door]) -> None:
    with door(1) as pool, pytest.raises(BrokenProcessPool):
        pool.call(_die)


def test_calls_with_large_arguments_do_not_block_the_end_after_a_death(door: type[Door]) -> None:
    event = mp.Event()
    with door(1) as pool:
        pool.submit(_wait, event)
        results = [pool.submit(len, bytes(1 << 20)) for _ in range(20)]
        dying = pool.submit(_die)
        event.set()
        assert [pool.get(result) for result in results] == [1 << 20] * 20
        with pytest.raises(mp.WorkerDied):
            pool.get(dying)


# ---- run again, given up, broken


def test_a_task_that_lost_its_worker_is_run_again(door: type[Door], log: Log) -> None:
    with door(2, retries=2) as pool:
        assert pool.call(_die_for, log, 2) == 3


def test_a_task_that_loses_each_worker_is_given_up(door: type[Door], log: Log) -> None:
    with door(2, retries=2) as pool:
        with pytest.raises(mp.WorkerDied) as caught:
            pool.call(_die_for, log, 99)
        assert caught.value.attempts == 3
        assert len(log.lines()) == 3


def test_a_task_that_kills_everybody_is_quarantined(door: type[Door], log: Log) -> None:
    with door(2, on_death="retry") as pool:
        poison = pool.submit(_die_for, log, 99)
        others = [pool.submit(square, x) for x in range(50)]
        with pytest.raises(mp.WorkerDied) as caught:
            pool.get(poison)
        assert caught.value.quarantined
        assert len(log.lines()) == 3
        assert [pool.get(other) for other in others] == [x * x for x in range(50)]


def test_retries_of_one_item_do_not_run_the_others_again(door: type[Door], log: Log) -> None:
    with door(2, retries=1) as pool:
        assert pool.map(_noted_and_dying_once, [(log, x) for x in range(100)]) == [*range(100)]
    runs = log.lines()
    assert runs.count("50") == 2
    assert sorted(map(int, set(runs))) == [*range(100)]
    assert len(runs) == 101


def _noted_and_dying_once(item: tuple[Log, int]) -> int:
    log, x = item
    log.write(x)
    if x == 50 and log.lines().count("50") == 1:
        _die()
    return x


def test_a_pool_may_break_as_the_library_s_do(door: type[Door]) -> None:
    event = mp.Event()
    with door(2, on_death="break") as pool:
        waits = pool.submit(_wait, event)
        with pytest.raises(BrokenProcessPool):
            pool.call(_die)
        with pytest.raises(BrokenProcessPool):
            pool.get(waits)
        with pytest.raises(BrokenProcessPool):
            pool.call(square, 7)


# ---- the cause

_LAST_WORDS = """
import ctypes
def read_header(address):
    print("reading the header", flush=True)
    return ctypes.string_at(address)
if __name__ == "__main__":
    with door(1) as made:
        try:
            call(made, read_header, 0)
        except mp.WorkerDied as death:
            print("read_header" in death.stack, "reading the header" in death.output)
            print("SIGSEGV" in str(death), str(death).rstrip().endswith("reading the header"))
"""


@METHODS
def test_the_stack_and_the_last_words_are_told(
    run_script: RunScript, door: type[Door], method: str
) -> None:
    done = run_script(PROGRAM_HEAD + _LAST_WORDS, door.name, method)
    assert done.stdout.splitlines()[-2:] == ["True True", "True True"], done.stderr


def test_a_death_travels_to_whoever_asks(door: type[Door]) -> None:
    with door(1) as pool:
        with pytest.raises(mp.WorkerDied) as caught:
            pool.call(_call_in_a_pool_of_its_own, door)
        assert caught.value.signal == "SIGKILL"


def _call_in_a_pool_of_its_own(door: type[Door]) -> Any:
    with door(1) as pool:
        return pool.call(_die)


# ---- the parent dies

_ORPHANS = """
import signal
def stay(parent, last):
    if last:
        os.kill(parent, signal.SIGKILL)
    while True:
        signal.pause()
if __name__ == "__main__":
    made = door(2)
    for last in (False, True):
        made.apply_async(stay, (os.getpid(), last)) if KIND == "Pool" else (
            made.submit(stay, os.getpid(), last))
    signal.pause()
"""


@METHODS
def test_no_worker_outlives_a_killed_parent(
    run_script: RunScript, door: type[Door], method: str
) -> None:
    done = run_script(PROGRAM_HEAD + _ORPHANS, door.name, method)  # returns: nobody has its output
    assert done.returncode == -signal.SIGKILL


def test_memory_that_runs_out_is_an_exception(door: type[Door]) -> None:
    with door(1, initializer=_limit_memory) as pool:
        with pytest.raises(MemoryError):
            pool.call(_allocate, 1 << 40)
        assert pool.call(square, 7) == 49


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))


def _allocate(size: int) -> int:
    return len(bytearray(size))


def test_a_death_that_breaks_the_pool_says_so() -> None:
    with mp.Pool(2) as pool:
        with pytest.raises(mp.WorkerDied, match="the pool is broken by it") as caught:
            pool.options(on_death="break").apply(os._exit, (3,))
        assert caught.value.broke_pool
        with pytest.raises(BrokenProcessPool) as refused:
            pool.apply(abs, (1,))
    assert isinstance(refused.value.__cause__, mp.WorkerDied)
