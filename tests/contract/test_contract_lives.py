"""How pools end, on each engine: nothing hangs, and nothing is left."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

import procession
from procession._backends.abilities import Ability
from procession.pool import Pool
from tests.contract.engines import Setting
from tests.contract.tasks import Signals, double, note, wait_for
from tests.plugins.scripts import RunScript


def test_close_and_join(pool: Pool, signals: Signals) -> None:
    results = [pool.apply_async(note, (signals, item)) for item in range(20)]
    late = pool.imap(double, range(30))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(double, (1,))
    pool.join()
    assert sorted(map(int, signals.noted())) == list(range(20))
    assert [result.get() for result in results] == list(range(20))
    assert list(late) == [2 * item for item in range(30)]


def test_join_without_an_end(pool: Pool) -> None:
    with pytest.raises(ValueError, match="still running"):
        pool.join()


def test_terminate_with_work_under_way(pool: Pool, signals: Signals) -> None:
    results = [pool.apply_async(wait_for, (signals, "began", "end")) for _ in range(10)]
    mapped = pool.map_async(double, range(1000))
    iterated = pool.imap(double, iter(range(1000)))
    signals.wait("began")
    pool.terminate()
    for result in results:
        with pytest.raises(procession.PoolTerminated):
            result.get()
    with pytest.raises(procession.PoolTerminated):
        mapped.get()
    with pytest.raises(procession.PoolTerminated):
        list(iterated)
    pool.join()
    with pytest.raises(ValueError, match="not running"):
        pool.map(double, [1])


def test_terminate_while_others_wait(pool: Pool, signals: Signals) -> None:
    outcomes: list[BaseException] = []

    def wait() -> None:
        try:
            pool.starmap(wait_for, [(signals, "began", "end")] * 4)
        except procession.PoolTerminated as error:
            outcomes.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    signals.wait("began")
    pool.terminate()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3


@pytest.mark.parametrize("call", ["map", "apply", "imap"])
def test_an_interrupt(pool: Pool, signals: Signals, call: str) -> None:
    def interrupt() -> None:
        signals.wait("began")
        os.kill(os.getpid(), signal.SIGINT)

    task = (signals, "began", "end")
    calls: dict[str, Callable[[], object]] = {
        "map": lambda: pool.starmap(wait_for, [task] * 6, 1),
        "apply": lambda: pool.apply(wait_for, task),
        "imap": lambda: list(pool.istarmap(wait_for, [task] * 6)),
    }
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        calls[call]()
    thread.join()
    signals.set("end")
    assert pool.apply(double, (1,)) == 2


def test_a_pool_that_did_nothing(make_pool: Callable[..., Pool]) -> None:
    first, second = make_pool(), make_pool()
    first.close()
    first.join()
    second.terminate()
    second.join()
    with make_pool(1) as third:
        pass
    third.join()


def test_twice_is_as_good_as_once(pool: Pool) -> None:
    assert pool.apply(double, (1,)) == 2
    for _ in range(2):
        pool.close()
        pool.join()
        pool.terminate()


def test_a_forgotten_pool(backend: dict[str, Any]) -> None:
    forgotten: Pool | None = Pool(2, **backend)
    assert forgotten is not None
    assert forgotten.apply(double, (1,)) == 2
    engine = forgotten._engine
    with pytest.warns(ResourceWarning, match="unclosed running"):  # noqa: PT031
        forgotten = None
        gc.collect()
    engine.join()
    assert engine.is_finished


def test_an_iterator_that_is_dropped(pool: Pool, signals: Signals) -> None:
    results = pool.imap(double, iter(range(100_000)))
    assert next(results) == 0
    del results
    assert pool.map(double, range(3)) == [0, 2, 4]
    pool.close()
    pool.join()


def test_a_map_that_is_given_up(pool: Pool, signals: Signals) -> None:
    result = pool.starmap_async(wait_for, [(signals, "began", "end")] * 50, 1)
    signals.wait("began")
    assert result.cancel()
    signals.set("end")
    with pytest.raises(CancelledError):
        result.get()
    assert pool.apply(double, (1,)) == 2


def test_a_task_that_is_given_up(pool: Pool, signals: Signals) -> None:
    """It is stopped, or runs on where it can not be."""
    result = pool.apply_async(wait_for, (signals, "began", "end"))
    signals.wait("began")
    assert result.cancel()
    with pytest.raises(CancelledError):
        result.get()
    assert pool.apply(double, (1,)) == 2
    signals.set("end")
    pool.close()
    pool.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_does_not_use_its_parents_pool(pool: Pool) -> None:
    assert pool.apply(double, (1,)) == 2  # the workers are there, and have no end of the pipe
    result = pool.apply_async(double, (21,))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = b"nothing"
        try:
            pool.apply(double, (1,))
        except ValueError as error:
            said = str(error).encode()
        finally:
            os.write(write, said)
            os._exit(0)
    os.close(write)
    with open(read, "rb") as told:
        assert b"belongs to another process" in told.read()
    os.waitpid(pid, 0)
    assert result.get() == 42


def test_resize(setting: Setting, pool: Pool) -> None:
    """Where the workers are not the pool's own, that is said."""
    if setting.can(Ability.RESIZE):
        pool.resize(3)
        assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
        assert "pool_size=3" in repr(pool)
        return
    with pytest.raises(procession.NotSupported, match=r"resize\(3\).*processes"):
        pool.resize(3)
    assert pool.apply(double, (1,)) == 2


_EXIT = """
import sys, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from procession import Executor, Pool

def work(x):
    return x + 1

def wait():
    threading.Event().wait()

if __name__ == "__main__":
    how, engine = sys.argv[1:]
    backend = {
        "threads": lambda: "threads",
        "ThreadPoolExecutor": lambda: ThreadPoolExecutor(2),
        "ProcessPoolExecutor": lambda: ProcessPoolExecutor(2),
    }[engine]()
    pool = Pool(2, backend=backend)
    print(pool.apply(work, (1,)), pool.map(work, range(3)))
    if how == "executor":
        executor = Executor(2, backend=backend)
        executor.submit(work, 1).add_done_callback(lambda future: print("told", future.result()))
    if how == "busy":
        pool.apply_async(wait)
    if how == "raises":
        raise SystemExit(3)
"""


@pytest.mark.parametrize("engine", ["threads", "ThreadPoolExecutor", "ProcessPoolExecutor"])
@pytest.mark.parametrize("how", ["idle", "executor", "raises"])
def test_the_interpreter_ends_with_a_live_pool(
    run_script: RunScript, how: str, engine: str
) -> None:
    run = run_script(_EXIT, how, engine)
    assert run.returncode == (3 if how == "raises" else 0), run.stderr
    assert run.stdout == "2 [1, 2, 3]\n" + ("told 2\n" if how == "executor" else "")
    assert "Traceback" not in run.stderr


def test_the_interpreter_ends_with_a_thread_at_work(run_script: RunScript) -> None:
    run = run_script(_EXIT, "busy", "threads")
    assert (run.returncode, run.stdout) == (0, "2 [1, 2, 3]\n"), run.stderr


_LATE_START = """
import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import procession as mp

if __name__ == "__main__":
    is_begun = threading.Event()
    executor = ProcessPoolExecutor(2, multiprocessing.get_context("fork"))
    pool = mp.Pool(2, backend=executor)
    os.register_at_fork(before=lambda: (is_begun.set(), time.sleep(0.2)))
    result = pool.map_async(abs, range(3))
    is_begun.wait()
    print("end")
"""


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 2),
    reason="these versions' executors can start no thread then, and wait for ever for workers",
)
def test_the_program_ends_while_an_executor_starts_its_workers(run_script: RunScript) -> None:
    done = run_script(_LATE_START)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)
