"""What our executor does beyond the standard library's, or in another way."""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors.pool import MaybeEncodingError, WorkerDied
from procession.futures import Executor
from tests.futures.gates import Stage
from tests.plugins.scripts import LIMIT
from tests.pool.gates import Log, children


def _square(x: int) -> int:
    return x * x


def _name() -> str:
    return procession.current_process().name


def _note(log: Log, x: int) -> int:
    log.write(x)
    return x


def _die_at(bad: int, x: int) -> int:
    if x == bad:
        os._exit(3)
    return x


def _pid(_: object = None) -> int:
    return os.getpid()


def _stop(_: object) -> Any:
    raise StopIteration("of the task's own")


def _make(_: object) -> Any:
    return _Thing()


def _lock() -> Any:
    return threading.Lock()


class _Thing:
    """Something that can be referred to weakly."""


# ---- workers


def test_workers_start_with_the_first_call() -> None:
    before = children()
    with Executor(2) as executor:
        assert children() == before
        assert "not started" in repr(executor)
        assert executor._processes == {}
        executor.submit(_square, 1).result()
        assert set(executor._processes) == children() - before
        assert len(executor._processes) == 2


def test_workers_are_called_as_the_stdlibs(executor: Executor) -> None:
    assert executor.submit(_name).result().startswith("ForkProcess-")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method(method: str) -> None:
    with Executor(1, procession.get_context(method)) as executor:
        assert executor.submit(_square, 3).result() == 9


def test_a_worker_is_replaced_after_its_tasks() -> None:
    with Executor(1, max_tasks_per_child=2) as executor:
        pids = [executor.submit(_pid).result() for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_surroundings(tmp_path: Path) -> None:
    with Executor(1, env={"SAID": "so"}, cwd=tmp_path) as executor:
        assert executor.submit(os.getenv, "SAID").result() == "so"
        assert executor.submit(os.getcwd).result() == str(tmp_path)


def test_a_death_costs_one_task(stage: Stage, executor: Executor) -> None:
    other = executor.submit(stage.perform, 5)
    stage.await_beginning()
    futures = [executor.submit(_die_at, 4, x) for x in range(9)]
    errors = [future.exception() for future in futures]
    assert [x for x, error in enumerate(errors) if error is not None] == [4]
    assert isinstance(errors[4], WorkerDied)
    stage.let_end()
    assert other.result() == 5


def test_a_result_that_can_not_be_pickled_is_a_pickling_error(executor: Executor) -> None:
    error = executor.submit(_lock).exception()
    assert isinstance(error, MaybeEncodingError)
    assert isinstance(error, pickle.PicklingError)


def test_lambdas_travel(executor: Executor) -> None:
    assert executor.submit(lambda x: x + 1, 3).result() == 4
    assert [*executor.map(lambda x, y: x * y, [2, 3], [4, 5])] == [8, 15]


# ---- map


def test_an_iterator_is_pulled_as_results_are_consumed(executor: Executor) -> None:
    results = executor.map(_square, itertools.count())
    assert [next(results) for _ in range(500)] == [x * x for x in range(500)]
    results.close()  # type: ignore[attr-defined]
    assert list(results) == []


@pytest.mark.parametrize(("chunksize", "buffersize"), [(1, 1), (1, 3), (2, 2)])
def test_a_buffer_bounds_what_is_under_way(
    executor: Executor, chunksize: int, buffersize: int
) -> None:
    pulled = 0

    def inputs() -> Iterator[int]:
        nonlocal pulled
        while pulled < 30:
            pulled += 1
            yield pulled

    results = executor.map(_square, inputs(), chunksize=chunksize, buffersize=buffersize)
    for consumed, value in enumerate(results, 1):
        assert value == consumed * consumed
        assert pulled <= consumed - 1 + chunksize * (buffersize + 1)
    assert consumed == 30


@pytest.mark.parametrize(
    ("buffersize", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError)]
)
def test_a_buffersize_that_can_not_be(
    executor: Executor, buffersize: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="buffersize"):
        executor.map(_square, [1], buffersize=buffersize)


@pytest.mark.parametrize("chunksize", [1, 5])
def test_what_is_not_consumed_is_done_nevertheless(log: Log, chunksize: int) -> None:
    with Executor(2) as executor:
        executor.map(_note, [log] * 1000, range(1000), chunksize=chunksize)
    assert sorted(map(int, log.lines())) == [*range(1000)]


def test_behind_an_exception_nothing_is_begun(stage: Stage, log: Log) -> None:
    with Executor(1) as executor:
        results = executor.map(_note, [log, 5, *[log] * 500], itertools.count())
        assert next(results) == 0
        with pytest.raises(AttributeError):
            next(results)
    assert len(log.lines()) < 500


def test_a_value_does_not_outlive_its_use(executor: Executor) -> None:
    for thing in executor.map(_make, range(5)):
        reference = weakref.ref(thing)
        del thing
        assert reference() is None


def test_a_stop_iteration_of_a_task_is_no_end(executor: Executor) -> None:
    with pytest.raises(RuntimeError):
        list(executor.map(_stop, [1]))
    with pytest.raises(StopIteration, match="of the task's own"):
        executor.submit(_stop, 1).result()


# ---- options


def test_options_make_a_view_on_the_same_workers(executor: Executor) -> None:
    view = executor.options(name="squares").options(retries=2)
    assert isinstance(view, Executor)
    assert (view._options.name, view._options.retries) == ("squares", 2)
    assert executor._options.retries == 0
    assert view.submit(_pid).result() in executor._processes
    assert "squares" in repr(view.submit(_square, 1))
    view.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(_square, 1)


def test_options_are_checked_at_once() -> None:
    with pytest.raises(TypeError, match="tries"):
        Executor(1, tries=2)
    with pytest.raises(ValueError, match="retries"):
        Executor(1, retries=-1)
    with Executor(1, retries=1) as executor, pytest.raises(ValueError, match="timeout"):
        executor.options(timeout=-1)


def test_what_is_answered_is_not_attended_to_any_more(executor: Executor) -> None:
    futures = [executor.options(retries=1).submit(_square, x) for x in range(20)]
    assert [future.result() for future in futures] == [x * x for x in range(20)]
    engine = executor._workforce.engine
    assert engine is not None
    assert engine.with_callbacks == set()


def test_star(executor: Executor) -> None:
    starred = executor.options(star=True)
    assert list(starred.map(pow, [(2, 3), (3, 2)], chunksize=2)) == [8, 9]


# ---- cancelling


def test_what_runs_can_be_cancelled(stage: Stage, executor: Executor) -> None:
    future = executor.submit(stage.perform)
    stage.await_beginning()
    told: list[Any] = []
    future.add_done_callback(told.append)
    assert future.cancel()
    assert told == [future]
    assert (future.cancelled(), future.running(), future.done()) == (True, False, True)
    with pytest.raises(CancelledError):
        future.result()
    stage.let_end()


@pytest.mark.parametrize("step", [1, -1, 3])
def test_each_of_many_that_wait_can_be_cancelled(
    stage: Stage, executor: Executor, log: Log, step: int
) -> None:
    futures = [executor.submit(stage.perform) for _ in range(2)]
    stage.await_beginning(2)
    waiting = [executor.submit(_note, log, i) for i in range(700)]
    order = [i * step % 700 for i in range(700)]
    kept = {0, 350, 699}
    assert all(waiting[i].cancel() for i in order if i % 350 and i != 699)
    assert [i for i in range(700) if not waiting[i].cancelled()] == sorted(kept)
    stage.let_end(2)
    assert [waiting[i].result(LIMIT) for i in sorted(kept)] == sorted(kept)
    assert [future.result(LIMIT) for future in futures] == [None] * 2
    executor.shutdown()
    assert sorted(map(int, log.lines())) == sorted(kept)


def test_who_waits_is_told_of_a_cancel(stage: Stage, executor: Executor) -> None:
    future = executor.submit(stage.perform)
    stage.await_beginning()
    errors: list[Any] = []
    waiting = threading.Thread(target=lambda: errors.append(_error_of(future)))
    waiting.start()
    assert future.cancel()
    waiting.join(LIMIT)
    assert [type(error) for error in errors] == [CancelledError]
    stage.let_end()


def _error_of(future: Any) -> BaseException:
    try:
        future.result()
    except BaseException as error:
        return error
    raise AssertionError("no error")


def test_cancel_futures_ends_a_map(stage: Stage) -> None:
    executor = Executor(1)
    results = executor.map(stage.perform, itertools.count())
    stage.await_beginning()
    executor.shutdown(wait=False, cancel_futures=True)
    stage.let_end(100)
    with pytest.raises(CancelledError):
        list(results)
    executor.shutdown()


# ---- the end


def test_neither_executors_nor_futures_travel(executor: Executor) -> None:
    future = executor.submit(_square, 2)
    for thing in (executor, future):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(thing)
    assert future.result() == 4


def test_a_fork_can_not_use_its_parents(executor: Executor) -> None:
    future = executor.submit(_square, 2)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            executor.submit(_square, 3)
        except RuntimeError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as said:
        assert "belongs to another process" in said.read()
    assert future.result() == 4


def test_a_forgotten_executor_does_what_it_was_given() -> None:
    executor = Executor(2)
    futures = [executor.submit(_square, x) for x in range(100)]
    engine = executor._workforce.engine
    assert engine is not None
    del executor
    gc.collect()
    assert [future.result() for future in futures] == [x * x for x in range(100)]
    engine.join()


def test_a_view_keeps_its_executor() -> None:
    view = Executor(1).options(name="view")
    gc.collect()
    assert view.submit(_square, 3).result() == 9
    view.shutdown()


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_workers_are_ended(stage: Stage, how: str) -> None:
    executor = Executor(2)
    futures = [executor.submit(stage.perform) for _ in range(5)]
    stage.await_beginning(2)
    getattr(executor, how)()
    assert executor._processes == {}
    for future in futures:
        with pytest.raises(procession.PoolTerminated):
            future.result()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(_square, 2)
    executor.shutdown()


def test_a_callback_may_shut_down(stage: Stage) -> None:
    executor = Executor(1)
    ended = threading.Event()

    def end(_: object) -> None:
        executor.shutdown(wait=False)
        ended.set()

    executor.submit(stage.perform).add_done_callback(end)
    stage.let_end()
    assert ended.wait(LIMIT)
    executor.shutdown()


def test_a_subclass_with_its_own_submit_gets_each_item_of_a_map() -> None:
    seen: list[int] = []

    class Traced(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            seen.append(args[0])
            return super().submit(fn, *args, **kwargs)

    with Traced(1) as executor:
        assert list(executor.map(abs, [-1, -2, -3])) == [1, 2, 3]
    assert seen == [-1, -2, -3]
