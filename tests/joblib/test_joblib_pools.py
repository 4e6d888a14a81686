"""The pools that are kept between calls, and what their workers are like."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed, parallel_config

import procession
import procession.joblib
from procession._joblib.pools import Pools
from procession.joblib import ProcessionBackend
from tests.joblib.work import pid, square, threads_allowed, variable
from tests.plugins.scripts import RunScript

pytestmark = pytest.mark.scale

WORDS = {"backend": "procession", "start_method": "fork"}
TWO = partial(Parallel, n_jobs=2, batch_size=1, **WORDS)


def pids(**words: Any) -> set[int]:
    return set(TWO(**words)(delayed(pid)() for _ in range(30)))


def test_workers_are_kept_for_the_next_call() -> None:
    workers = pids() | pids() | pids(return_as="generator")
    assert len(workers) <= 2


def test_each_number_of_jobs_has_its_own() -> None:
    two, three = pids(), pids(n_jobs=3)
    assert not two & three
    assert len(two | pids()) <= 2
    assert len(three | pids(n_jobs=3)) <= 3


def test_shutdown_ends_them_and_the_next_call_makes_others() -> None:
    first = pids()
    procession.joblib.shutdown()
    assert not {child.pid for child in procession.active_children()} & first
    assert not pids() & first


def test_a_pool_that_is_not_used_ends_by_itself() -> None:
    pools = Pools()
    kept = pools.lend(1, None, {"start_method": "fork", "idle_worker_timeout": 0.05})
    pools.take_back(kept)
    kept.engine.join()
    assert kept.engine.is_finished
    pools.end()


def test_a_pool_in_use_does_not_end() -> None:
    pools = Pools()
    words = {"start_method": "fork", "idle_worker_timeout": 0.01}
    kept, again = pools.lend(1, None, words), pools.lend(1, None, words)
    assert kept is again
    pools.take_back(again)
    other = pools.lend(2, None, words)
    pools.take_back(other)
    other.engine.join()  # which is later than the first one's time
    assert kept.is_good
    pools.end()
    assert kept.is_good
    pools.take_back(kept)
    assert kept.engine.is_finished


def test_a_fork_makes_pools_of_its_own() -> None:
    workers = pids()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            own = pids()
            procession.joblib.shutdown()
            os.write(writer, repr(own).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = eval(said.read())
    assert os.waitpid(child, 0)[1] == 0
    assert found
    assert not found & workers
    assert pids() <= workers | pids()


def test_a_program_ends_in_order_with_its_pools(run_script: RunScript) -> None:
    done = run_script(
        "import joblib, procession.joblib\n"
        "from math import sqrt\n"
        "backend = dict(backend='procession', n_jobs=2)\n"
        "calls = [joblib.delayed(sqrt)(x * x) for x in range(4)]\n"
        "print(joblib.Parallel(**backend)(calls))\n"
        "print(next(joblib.Parallel(**backend, return_as='generator')(calls)))\n",
        options=("-W", "ignore"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[0.0, 1.0, 2.0, 3.0]\n0.0\n"


# ---- what workers are like


def test_blas_has_its_share_of_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    share = str(max(1, procession.cpu_count() // 2))
    assert TWO()(delayed(threads_allowed)() for _ in range(3)) == [share] * 3


def test_blas_has_what_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert TWO()(delayed(threads_allowed)() for _ in range(3)) == ["5"] * 3
    with parallel_config(**WORDS, inner_max_num_threads=3):
        found = Parallel(n_jobs=2)(delayed(threads_allowed)() for _ in range(3))
    assert found == ["3"] * 3


def test_processes_that_use_tbb_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENABLE_IPC", raising=False)
    assert TWO()([delayed(variable)("ENABLE_IPC")] * 2) == ["1"] * 2


def test_words_about_workers_reach_them() -> None:
    with parallel_config(**WORDS, env={"COLOUR": "red"}):
        assert Parallel(n_jobs=2)([delayed(variable)("COLOUR")] * 2) == ["red"] * 2
    assert TWO(env={"COLOUR": "blue"})([delayed(variable)("COLOUR")] * 2) == ["blue"] * 2
    once = TWO(max_tasks_per_child=1)(delayed(pid)() for _ in range(4))
    assert len(set(once)) == 4


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_other_start_methods_do(method: str) -> None:
    with parallel_config(backend="procession", start_method=method):
        assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(4)) == [0, 1, 4, 9]


def test_an_unknown_word_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="no colour; there are .*, env, .*, retries, "):
        ProcessionBackend(colour="red")
    with pytest.raises(TypeError, match=r"Parallel\(timeout=\.\.\.\)"):
        ProcessionBackend(timeout=3)
    with pytest.raises(TypeError, match="inner_max_num_threads"):
        parallel_config(backend="procession", threads=2)
    with pytest.raises(ValueError, match="retries"):
        parallel_config(backend="procession", retries=-1)
    with pytest.raises(ValueError, match="magic"):
        parallel_config(backend="procession", start_method="magic")
    with pytest.raises(ValueError, match="idle_worker_timeout"):
        parallel_config(backend="procession", idle_worker_timeout=0)


# ---- how joblib knows it


@pytest.mark.parametrize(
    "imports",
    [
        "import joblib\nimport procession",
        "import joblib\nimport procession.joblib",
        "import procession.joblib\nimport joblib",
        "import procession\nimport joblib\nprocession.joblib.register()",
        "import procession\nimport joblib\nimport procession.joblib",
        "from joblib import parallel\nimport procession as mp",
    ],
)
@pytest.mark.parametrize("way", ["Parallel(2, 'procession')", "parallel_config('procession')"])
def test_the_name_is_known(imports: str, way: str, run_script: RunScript) -> None:
    done = run_script(
        f"{imports}\n"
        "from joblib import Parallel, parallel_config\n"
        f"made = {way}\n"
        "backend = getattr(made, '_backend', None) or made.parallel_config['backend']\n"
        "print(type(backend).__name__)\n"
    )
    assert done.stdout == "ProcessionBackend\n", done.stderr


def test_who_has_no_joblib_pays_nothing(run_script: RunScript) -> None:
    done = run_script(
        "import sys, procession\n"
        "print([name for name in sys.modules if 'joblib' in name])\n"
        "import joblib, importlib\n"
        "before = {*sys.modules}\n"
        "importlib.reload(procession)\n"
        "print(sorted({*sys.modules} - before), 'procession' in joblib.parallel.BACKENDS)\n"
    )
    assert done.stdout == "[]\n[] True\n", done.stderr


def test_without_joblib_it_says_what_to_install(run_script: RunScript) -> None:
    done = run_script("import sys\nsys.modules['joblib'] = None\nimport procession.joblib\n")
    assert "pip install 'joblib>=1.5'" in done.stderr.splitlines()[-1]


def test_a_program_needs_no_guard(run_script: RunScript) -> None:
    done = run_script(
        "import joblib\n"
        "import procession\n"
        "class Point:\n"
        "    def __init__(self, x):\n"
        "        self.x = x\n"
        "def double(point):\n"
        "    return Point(2 * point.x)\n"
        "with joblib.parallel_config(backend='procession', n_jobs=2):\n"
        "    found = joblib.Parallel()(joblib.delayed(double)(Point(x)) for x in range(3))\n"
        "print([point.x for point in found], {type(point) is Point for point in found})\n"
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4] {True}\n", "")


def test_threads_that_end_leave_nothing() -> None:
    thread = threading.Thread(target=pids)
    thread.start()
    thread.join()
    assert len(pids()) <= 2
    assert joblib.parallel.BACKENDS["procession"] is ProcessionBackend
