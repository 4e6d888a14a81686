"""The end comes whoever asks for it, from wherever, and whatever is left undone."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import signal
import threading
from typing import Any

import pytest

from tests.field.doors import PROGRAM_HEAD, Door, Executor, Pool, mp, outcome, square
from tests.plugins.scripts import RunScript

PATIENCE = 20.0
"""Seconds after which what should happen at once counts as a hang."""


def _wait(event: Any) -> None:
    event.wait()


def _fail() -> None:
    raise LookupError("no")


def _interrupt_and_wait(parent: int, event: Any) -> str:
    os.kill(parent, signal.SIGINT)
    event.wait()
    return "done"


@pytest.mark.parametrize("kind", ["callback", "error_callback"])
def test_terminate_from_a_callback(kind: str) -> None:
    ended = threading.Event()

    def end(_: object) -> None:
        pool.terminate()
        ended.set()

    pool = Pool(2)
    pool.apply_async(_fail if kind == "error_callback" else os.getpid, **{kind: end})
    assert ended.wait(PATIENCE)
    pool.join()


def test_shutdown_from_a_callback() -> None:
    ended = threading.Event()

    def end(_: object) -> None:
        executor.shutdown(wait=False)
        ended.set()

    executor = Executor(2)
    executor.submit(square, 7).add_done_callback(end)
    assert ended.wait(PATIENCE)
    executor.shutdown()


def test_the_end_from_another_thread_wakes_who_waits(door: type[Door]) -> None:
    event = mp.Event()
    started = mp.Event()
    pool = door(1)
    result = pool.submit(_say_and_wait, started, event)
    found: list[Any] = []
    waiting = threading.Thread(
        target=lambda: found.append(outcome(lambda: pool.get(result), Exception))
    )
    waiting.start()
    started.wait()
    pool.end()
    waiting.join()
    assert isinstance(found[0], Exception)


def _say_and_wait(started: Any, event: Any) -> None:
    started.set()
    event.wait()


def test_the_end_in_a_signal_handler(door: type[Door]) -> None:
    event = mp.Event()
    pool = door(1)
    before = signal.signal(signal.SIGUSR1, lambda *_: pool.end())
    try:
        result = pool.submit(_signal_and_wait, os.getpid(), event)
        found = outcome(lambda: pool.get(result), Exception)
        assert isinstance(found, Exception)
    finally:
        signal.signal(signal.SIGUSR1, before)
        pool.end()


def _signal_and_wait(parent: int, event: Any) -> None:
    os.kill(parent, signal.SIGUSR1)
    event.wait()


def test_one_that_is_forgotten_is_collected() -> None:
    executor = Executor(2)
    future = executor.submit(square, 7)
    assert future.result() == 49
    del executor, future
    gc.collect()  # the check around the test sees whether anything is left


def test_a_forgotten_executor_still_does_what_was_submitted() -> None:
    futures = [Executor(1).submit(square, x) for x in range(3)]
    gc.collect()
    assert [future.result() for future in futures] == [0, 1, 4]


_OPEN = """
import time
def work(seconds):
    time.sleep(seconds)
    return seconds
if __name__ == "__main__":
    made = door(2)
    for seconds in (0, 0.01, 0.02):
        made.apply_async(work, (seconds,)) if KIND == "Pool" else made.submit(work, seconds)
    print("end")
"""


def test_a_program_ends_with_calls_that_run(run_script: RunScript, door: type[Door]) -> None:
    done = run_script(PROGRAM_HEAD + _OPEN, door.name, "fork")
    assert (done.returncode, done.stdout) == (0, "end\n")


_FAILS = """
def fail(x):
    raise LookupError("this one")
if __name__ == "__main__":
    with door(2) as made:
        print(list(made.map(fail, range(1000))))
"""


def test_a_program_that_fails_ends_with_the_worker_s_error(
    run_script: RunScript, door: type[Door]
) -> None:
    done = run_script(PROGRAM_HEAD + _FAILS, door.name, "fork")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "LookupError: this one"


def test_an_interrupt_while_waiting_leaves_it_usable(door: type[Door], interruptible: None) -> None:
    event = mp.Event()
    with door(1) as pool:
        result = pool.submit(_interrupt_and_wait, os.getpid(), event)
        with pytest.raises(KeyboardInterrupt):
            pool.get(result)
        event.set()
        assert pool.get(result) == "done"
        assert pool.map(square, range(10)) == [x * x for x in range(10)]


def test_an_initializer_that_fails_is_told_and_not_tried_for_ever(door: type[Door]) -> None:
    with door(2, initializer=_fail) as pool:
        with pytest.raises(mp.InitializerFailed) as caught:
            pool.call(square, 7)
        assert isinstance(caught.value.__cause__, LookupError)


def test_an_executor_whose_end_was_asked_for_takes_no_more() -> None:
    executor = Executor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(square, 7)


def test_waiting_for_many_futures_ends() -> None:
    with Executor(2) as executor:
        futures = [executor.submit(square, x) for x in range(200)]
        done = concurrent.futures.as_completed(futures)
        assert sorted(future.result() for future in done) == [x * x for x in range(200)]
        assert concurrent.futures.wait(futures).not_done == set()


# ---- queues


def _fill(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put((number, b"x" * 1000))


def test_a_child_that_has_filled_a_queue_can_be_joined_before_it_is_read() -> None:
    queue = mp.Queue()
    child = mp.Process(target=_fill, args=(queue, 2000))
    child.start()
    child.join()
    assert [queue.get()[0] for _ in range(2000)] == [*range(2000)]
    assert queue.empty()
    child.close()


def test_what_a_killed_child_has_put_is_there() -> None:
    queue = mp.Queue()
    child = mp.Process(target=_fill_and_die, args=(queue,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [queue.get()[0] for _ in range(500)] == [*range(500)]
    child.close()


def _fill_and_die(queue: Any) -> None:
    _fill(queue, 500)
    os.kill(os.getpid(), signal.SIGKILL)
