"""An engine that misbehaves never hangs a pool: everything gets an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import pytest

import procession
from procession.pool import Pool
from tests.contract.tasks import double


class _Engine(Executor):
    """Runs what it gets when it is told to; misbehaves by what a test puts in its methods."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.calls: list[Callable[[], Any]] = []
        self.is_fed = threading.Event()
        self.shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append(lambda: fn(*args, **kwargs))
        self.futures.append(future)
        self.is_fed.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.shut = True

    def run_all(self) -> None:
        """Run what there is."""
        for future, call in zip(self.futures, self.calls, strict=True):
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_result(call())


class _RunsAtOnce(_Engine):
    """Runs in submit() itself."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        future.set_result(fn(*args, **kwargs))
        return future


class _Refuses(_Engine):
    """Takes so many, and then raises."""

    def __init__(self, taken: int, error: BaseException) -> None:
        super().__init__()
        self.left = taken
        self.error = error

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.left == 0:
            raise self.error
        self.left -= 1
        future = super().submit(fn, *args, **kwargs)
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _pool_of(engine: Executor) -> Iterator[Pool]:
    with Pool(2, backend=engine) as pool:
        yield pool
    pool.join()


@pytest.mark.parametrize("taken", [0, 3])
@pytest.mark.parametrize("error", [RuntimeError("no more"), SystemExit(1), BrokenProcessPool("x")])
def test_submit_raises(taken: int, error: BaseException) -> None:
    engine = _Refuses(taken, error)
    with _pool_of(engine) as pool:
        results = [pool.apply_async(double, (item,)) for item in range(6)]
        for item, result in enumerate(results[:taken]):
            assert result.get() == 2 * item
        for result in results[taken:]:
            with pytest.raises(procession.EngineLost, match="can run nothing any more") as caught:
                result.get()
            assert caught.value.__cause__ is error
        with pytest.raises(procession.EngineLost):
            pool.map(double, range(10))
        with pytest.raises(procession.EngineLost):
            pool.imap(double, range(10))


def test_submit_raises_in_the_midst_of_calls() -> None:
    for use in (
        lambda pool: pool.map(double, range(100), 1),
        lambda pool: list(pool.imap(double, range(100), 2)),
        lambda pool: pool.map_async(double, range(100), 1).get(),
        lambda pool: pool.options(errors="skip").map(double, range(100), 1),
        lambda pool: list(pool.options(errors="skip").imap(double, range(100), 2)),
    ):
        with (
            _pool_of(_Refuses(3, RuntimeError("no more"))) as pool,
            pytest.raises(procession.EngineLost),
        ):
            use(pool)


def test_futures_that_never_finish() -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        result = pool.apply_async(double, (1,))
        engine.is_fed.wait()
        with pytest.raises(TimeoutError):
            result.get(timeout=0)
        late = pool.options(timeout=0.1).apply_async(double, (1,))
        with pytest.raises(procession.TaskTimeout, match="given up"):
            late.get()
        assert result.cancel()
        pool.map_async(double, range(10))
        pool.terminate()
    engine.run_all()  # too late for anybody


def test_futures_that_finish_late() -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        result = pool.apply_async(double, (1,))
        engine.is_fed.wait()
        engine.run_all()
        assert result.get() == 2


def test_a_future_that_is_given_up_and_finishes() -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        given_up = pool.options(timeout=0.05).apply_async(double, (1,))
        with pytest.raises(procession.TaskTimeout):
            given_up.get()
        engine.run_all()
        with pytest.raises(procession.TaskTimeout):
            given_up.get()
        engine.is_fed.clear()
        result = pool.apply_async(double, (2,))
        engine.is_fed.wait()
        engine.run_all()
        assert result.get() == 4


def test_others_cancel_its_futures() -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        result = pool.apply_async(double, (1,))
        mapped = pool.map_async(double, range(3), 1)
        while len(engine.futures) < 4:
            engine.is_fed.wait()
            for future in engine.futures:
                future.cancel()
                future.set_running_or_notify_cancel()
        for each in (result, mapped):
            with pytest.raises(CancelledError):
                each.get()


def test_a_future_that_breaks() -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        results = [pool.apply_async(double, (item,)) for item in range(5)]
        engine.is_fed.wait()
        engine.futures[0].set_exception(BrokenProcessPool("a worker is gone"))
        for result in results:
            with pytest.raises(procession.EngineLost, match="a worker is gone"):
                result.get()


@pytest.mark.parametrize("error", [ValueError("odd"), KeyboardInterrupt(), OSError(5, "x")])
def test_a_future_that_fails_by_itself(error: BaseException) -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        result = pool.apply_async(double, (1,))
        mapped = pool.options(errors="return").map_async(double, [1])
        while len(engine.futures) < 2:
            engine.is_fed.wait()
        for future in engine.futures:
            future.set_exception(error)
        with pytest.raises(type(error)):
            result.get()
        assert mapped.get() == [error]


def test_an_engine_that_answers_something_else() -> None:
    engine = _Engine()
    with _pool_of(engine) as pool:
        result = pool.apply_async(double, (1,))
        engine.is_fed.wait()
        engine.futures[0].set_result("nonsense")
        with pytest.raises(TypeError, match="_Engine answered with a str"):
            result.get()


def test_an_engine_that_runs_what_it_gets_at_once() -> None:
    with _pool_of(_RunsAtOnce()) as pool:
        assert pool.map(double, range(100)) == list(range(0, 200, 2))
        assert list(pool.imap(double, range(100))) == list(range(0, 200, 2))


def test_an_engine_whose_submit_does_not_return() -> None:
    may_go = threading.Event()
    is_in = threading.Event()

    class Stuck(_Engine):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            is_in.set()
            may_go.wait()
            return super().submit(fn, *args, **kwargs)

    try:
        with _pool_of(Stuck()) as pool:
            results = [pool.apply_async(double, (item,)) for item in range(3)]
            is_in.wait()
            late = pool.options(timeout=0.05).apply_async(double, (1,))
            assert not results[0].ready()
            pool.terminate()
            for result in (*results, late):
                with pytest.raises(procession.PoolTerminated):
                    result.get()
    finally:
        may_go.set()


def test_an_owner_who_shuts_his_executor_down() -> None:
    executor = ThreadPoolExecutor(2)
    with _pool_of(executor) as pool:
        assert pool.apply(double, (1,)) == 2
        executor.shutdown()
        with pytest.raises(procession.EngineLost, match="ThreadPoolExecutor can run nothing"):
            pool.apply(double, (1,))
        with pytest.raises(procession.EngineLost):
            pool.map(double, range(3))
