"""What a call of ``Parallel`` gives, whatever the way in which its results are taken."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import ThreadingBackend

import procession.joblib
from procession.joblib import ProcessionBackend
from tests.joblib.work import jobs_of_a_worker, nested, nested_by_name, nested_twice, pid, square

pytestmark = pytest.mark.scale

TWO = partial(Parallel, n_jobs=2, backend="procession", start_method="fork")
SQUARES = [x * x for x in range(50)]


def calls(count: int = 50) -> Iterator[Any]:
    return (delayed(square)(x) for x in range(count))


def test_a_list_is_in_the_order_of_the_tasks() -> None:
    assert TWO()(calls()) == SQUARES


@pytest.mark.parametrize("batch_size", [1, 7, "auto"])
@pytest.mark.parametrize("pre_dispatch", ["all", 3, "1.5*n_jobs"])
def test_batches_and_dispatch_ahead_do_not_change_results(
    batch_size: Any, pre_dispatch: Any
) -> None:
    assert TWO(batch_size=batch_size, pre_dispatch=pre_dispatch)(calls()) == SQUARES


def test_workers_are_other_processes_and_as_many_as_asked_for() -> None:
    pids = set(TWO(batch_size=1)(delayed(pid)() for _ in range(50)))
    assert 1 <= len(pids) <= 2
    assert pid() not in pids


def test_one_job_runs_here() -> None:
    assert set(Parallel(n_jobs=1, backend="procession")([delayed(pid)()])) == {pid()}


def test_nothing_gives_nothing() -> None:
    assert TWO()([]) == []
    assert list(TWO(return_as="generator")([])) == []


@pytest.mark.parametrize("kind", ["generator", "generator_unordered"])
def test_a_generator_gives_them_one_by_one(kind: str) -> None:
    found = TWO(return_as=kind)(calls())
    assert iter(found) is found
    assert sorted(found) == SQUARES


def test_a_generator_keeps_the_order() -> None:
    assert list(TWO(return_as="generator")(calls())) == SQUARES


def test_a_generator_is_not_held_up_by_another_call() -> None:
    with parallel_config(backend="procession", start_method="fork", n_jobs=2):
        found = Parallel(return_as="generator")(calls())
        first = next(found)
        assert Parallel()(calls()) == SQUARES
        assert [first, *found] == SQUARES


def test_a_generator_that_is_dropped_leaves_the_pool_usable() -> None:
    found = TWO(return_as="generator", pre_dispatch=4)(calls())
    assert next(found) == 0
    with pytest.warns(UserWarning, match="tasks"):
        del found
    assert TWO()(calls()) == SQUARES


def test_a_generator_feeds_another_call() -> None:
    inner = TWO(return_as="generator")(calls())
    assert TWO()(delayed(square)(x) for x in inner) == [x * x for x in SQUARES]


def test_generators_feed_one_another() -> None:
    several = partial(TWO, return_as="generator", pre_dispatch=2, batch_size=1)
    inner = several()(calls(20))
    outer = several()(delayed(square)(x) for x in inner)
    assert list(outer) == [x * x for x in SQUARES[:20]]


def test_tasks_are_pulled_only_ahead_of_what_runs() -> None:
    pulled = []

    def source() -> Iterator[Any]:
        for x in range(50):
            pulled.append(x)
            yield delayed(square)(x)

    found = TWO(return_as="generator", pre_dispatch=2, batch_size=1)(source())
    assert pulled[0] == 0
    assert list(found) == SQUARES
    assert pulled == [*range(50)]


def test_a_context_keeps_its_workers_for_all_its_calls() -> None:
    with TWO(batch_size=1) as parallel:
        found = [set(parallel(delayed(pid)() for _ in range(20))) for _ in range(3)]
    assert len(set().union(*found)) <= 2


@pytest.mark.parametrize("n_jobs", [-1, -2, -100, 3])
def test_negative_numbers_count_from_the_cpus(n_jobs: int) -> None:
    cpus = min(joblib.cpu_count(), procession.cpu_count())
    expected = n_jobs if n_jobs > 0 else max(1, cpus + 1 + n_jobs)
    with parallel_config(backend="procession"):
        assert joblib.effective_n_jobs(n_jobs) == expected


def test_a_worker_of_a_pool_or_an_executor_has_one_job() -> None:
    with procession.Pool(1) as pool, procession.Executor(1) as executor:
        assert pool.apply(jobs_of_a_worker, (4,)) == (1, [UserWarning])
        assert executor.submit(jobs_of_a_worker, 4).result() == (1, [UserWarning])


def test_no_jobs_are_refused() -> None:
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0, backend="procession")(calls())


def test_lambdas_and_closures_travel() -> None:
    by = 3
    assert TWO()(delayed(lambda x: x * by)(x) for x in range(5)) == [0, 3, 6, 9, 12]


def test_the_call_says_what_it_uses(capsys: pytest.CaptureFixture[str]) -> None:
    TWO(verbose=100, batch_size=1)(calls(4))
    shown = capsys.readouterr().out
    assert "Using backend ProcessionBackend with 2 concurrent workers." in shown
    assert "Done   4 out of   4" in shown


# ---- calls within calls


def test_a_nested_call_has_threads_and_one_below_it_none() -> None:
    assert TWO()(delayed(nested)(3) for _ in range(2)) == [("ThreadingBackend", 1, [0, 1, 4])] * 2
    found = TWO()([delayed(nested_twice)(2)])
    assert found == [[("SequentialBackend", 2, [0, 1])] * 2]


def test_a_worker_that_names_the_backend_runs_the_call_itself() -> None:
    (pids,) = TWO()([delayed(nested_by_name)(3)])
    assert len(set(pids)) == 1


def test_threads_have_their_calls_run_by_one_pool() -> None:
    found: list[list[int]] = []

    def call() -> None:
        found.append(TWO()(calls()))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [SQUARES] * 4


# ---- hints and constraints


def test_shared_memory_is_a_matter_of_threads() -> None:
    found: set[int] = set()
    with parallel_config(backend="procession", start_method="fork", n_jobs=2):
        Parallel(require="sharedmem")(delayed(found.add)(x) for x in range(5))
    assert found == {*range(5)}
    with pytest.raises(ValueError, match="does not support shared memory"):
        TWO(require="sharedmem")


def test_a_preference_for_threads_does_not_overrule_the_context() -> None:
    with parallel_config(backend="procession", start_method="fork", n_jobs=2):
        assert pid() not in Parallel(prefer="threads")(delayed(pid)() for _ in range(3))


def test_it_can_be_the_default() -> None:
    before = joblib.parallel.DEFAULT_BACKEND
    try:
        procession.joblib.register(make_default=True)
        assert joblib.parallel.DEFAULT_BACKEND == "procession"
        assert pid() not in Parallel(n_jobs=2)(delayed(pid)() for _ in range(3))
        hinted = Parallel(n_jobs=2, prefer="threads")(delayed(pid)() for _ in range(3))
        assert set(hinted) == {pid()}
    finally:
        joblib.register_parallel_backend(
            before, joblib.parallel.BACKENDS[before], make_default=True
        )


def test_folders_for_files_are_not_needed(tmp_path: Any) -> None:
    found = TWO(temp_folder=str(tmp_path / "missing"), max_nbytes="1K", mmap_mode="r+")(calls())
    assert found == SQUARES
    assert list(tmp_path.iterdir()) == []


# ---- what is joblib's, and could change there


def test_a_list_is_asked_for_and_a_generator_is_told() -> None:
    # joblib calls the flag a matter of compatibility. Without it a call costs 10 ms.
    asked, told = TWO(), TWO(return_as="generator")
    assert asked(calls(2)) == [*told(calls(2))] == [0, 1]
    assert asked._backend.supports_retrieve_callback is False
    assert told._backend.supports_retrieve_callback is True
    assert asked._backend.parallel is asked


def test_a_list_does_not_wait_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(time=time.time, sleep=slept.append)
    monkeypatch.setattr(joblib.parallel, "time", clock)
    for _ in range(20):
        assert TWO()(calls(4)) == SQUARES[:4]
    assert slept == []


def test_a_backend_travels_with_its_words() -> None:
    backend = ProcessionBackend(1, 3, retries=2)
    copy = pickle.loads(pickle.dumps(backend))
    assert (copy.nesting_level, copy.inner_max_num_threads) == (1, 3)
    assert copy.backend_kwargs == {"retries": 2}


def test_its_nested_backend_is_joblibs() -> None:
    backend, jobs = ProcessionBackend(0).get_nested_backend()
    assert isinstance(backend, ThreadingBackend)
    assert (backend.nesting_level, jobs) == (1, None)
