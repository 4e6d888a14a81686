"""The surroundings of a worker: checked in the parent, applied in a child before all else."""

from __future__ import annotations

import os
import pickle
import random
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from procession._launch import surroundings
from procession._launch.cpus import VARIABLE
from procession._launch.fork import ForkedChild
from procession._launch.surroundings import NONE, THREAD_VARIABLES, Surroundings
from tests.plugins.scripts import RunScript
from tests.quality.imports import ROOT

checked = Surroundings.checked
Run = Callable[[str], list[str]]
_USABLE = sorted(os.sched_getaffinity(0))
_MISSING_CPU = max(_USABLE) + 1


def in_child(call: Callable[[], object]) -> Any:
    """What `call` returns in a forked child; what it raises there is raised here."""
    read, write = os.pipe()

    def entry() -> int:
        answer: tuple[object, BaseException | None]
        try:
            answer = call(), None
        except BaseException as error:
            answer = None, error
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(answer, pipe)
        return 0

    child = ForkedChild(entry, name="worker")
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        result, error = pickle.loads(pipe.read())
    assert child.wait() == 0
    child.close()
    if error is not None:
        raise error
    return result


def applied(
    chosen: Surroundings,
    look: Callable[[], object],
    number: int = 0,
    workers: int = 1,
    generation: int = 0,
) -> Any:
    """What `look` returns in a child in these surroundings."""

    def call() -> object:
        chosen.apply(number, workers, generation=generation)
        return look()

    return in_child(call)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, *THREAD_VARIABLES):
        monkeypatch.delenv(name, raising=False)


needs_numpy = pytest.mark.skipif(not find_spec("numpy"), reason="numpy is not installed")
needs_threadpoolctl = pytest.mark.skipif(
    not (find_spec("numpy") and find_spec("threadpoolctl")),
    reason="numpy or threadpoolctl is not installed",
)

# What is refused at once


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"env": ["A=1"]}, TypeError, "env must be a mapping of names to texts"),
        ({"env": {1: "1"}}, TypeError, "env has a name that is no text: 1"),
        ({"env": {"A": 1}}, TypeError, r"env\['A'\] must be a text, or None to remove .* type int"),
        ({"env": {"": "1"}}, ValueError, "names must not be empty"),
        ({"env": {"A=B": "1"}}, ValueError, "env has the name 'A=B'"),
        ({"env": {"A\0": None}}, ValueError, "must not contain '=' or a null character"),
        ({"env": {"A": "secret\0"}}, ValueError, r"env\['A'\] contains a null character"),
        ({"env": {"A": "\ud800"}}, ValueError, "one that can not be encoded"),
        ({"cwd": 3}, TypeError, "cwd must be a folder's path, .* not 3"),
        ({"cwd": b"/"}, TypeError, "cwd must be a folder's path"),
        ({"cwd": ""}, ValueError, "cwd='' can not be used: No such file"),
        ({"cwd": "a\0"}, ValueError, "can not be used: .*embedded null"),
        ({"cwd": "/no/such"}, ValueError, "cwd='/no/such' .* it must name a folder that exists"),
        ({"cwd": Path(__file__)}, ValueError, "is not a folder"),
        ({"nice": True}, TypeError, r"nice must be a whole number, not True"),
        ({"nice": 1.0}, TypeError, r"nice must be .* int\(\) makes one"),
        ({"nice": 40}, ValueError, "nice must be an increment from -39 to 39"),
        ({"nice": -40}, ValueError, "nice values go from -20 to 19"),
        ({"cpus": 1}, TypeError, "cpus must be a set of CPU numbers, .* not 1"),
        ({"cpus": "all"}, ValueError, "'each' for one CPU a worker, not 'all'"),
        ({"cpus": ["0"]}, TypeError, "a CPU number in cpus must be a whole number"),
        ({"cpus": ()}, ValueError, "cpus is empty, so no worker could run"),
        ({"cpus": {_MISSING_CPU}}, ValueError, rf"can not use: \[{_MISSING_CPU}\]; it can use"),
        ({"cpus": {-1}}, ValueError, r"can not use: \[-1\]"),
        ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
        ({"threads": "all"}, ValueError, "threads must be a whole number or 'auto', not 'all'"),
        ({"threads": True}, TypeError, "threads must be a whole number or 'auto'"),
        ({"threads": 1.5}, TypeError, "threads must be a whole number or 'auto'"),
        ({"seed": -1}, ValueError, "seed must not be negative"),
        ({"seed": -(10**5000)}, ValueError, "seed must not be negative"),
        ({"seed": "1"}, TypeError, "seed must be a whole number"),
        ({"seed": False}, TypeError, "seed must be a whole number"),
    ],
)
def test_what_can_not_be_is_refused_in_the_parent(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        checked(**options)
    assert "secret" not in str(caught.value)


def test_auto_says_at_once_that_the_number_of_cpus_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "few")
    with pytest.raises(ValueError, match=VARIABLE):
        checked(threads="auto")


# What is kept


def test_it_can_be_pickled_hashed_and_not_changed(tmp_path: Path) -> None:
    chosen = checked(
        env={"A": "1", "B": None}, cwd=tmp_path, nice=1, cpus=_USABLE, threads=2, seed=10**5000
    )
    copy = pickle.loads(pickle.dumps(chosen))
    assert (copy, hash(copy)) == (chosen, hash(chosen))
    assert chosen.cpus == frozenset(_USABLE)
    with pytest.raises(AttributeError):
        chosen.nice = 2  # type: ignore[misc]
    assert checked() == NONE
    assert NONE.environment(0, 1) == {}


def test_later_changes_in_the_parent_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    env: dict[str, str | None] = {"A": "1"}
    cpus = {_USABLE[0]}
    chosen = checked(env=env, cwd="folder", cpus=cpus)
    env["A"] = "2"
    cpus.clear()
    monkeypatch.chdir("/")
    assert chosen.env == {"A": "1"}
    assert applied(chosen, os.getcwd) == str(tmp_path / "folder")


# Environment, folder, CPUs, priority


def test_variables_are_set_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PCN_GONE", "PCN_OTHER", "PCN_KEPT"):
        monkeypatch.setenv(name, "parent's")
    monkeypatch.delenv("PCN_NEVER", raising=False)
    chosen = checked(
        env={"PCN_GONE": None, "PCN_NEVER": None, "PCN_OTHER": "", "PCN_NEW": "\udcff"}
    )
    before = dict(os.environ)

    def look() -> list[str | None]:
        names = ("PCN_GONE", "PCN_NEVER", "PCN_OTHER", "PCN_NEW", "PCN_KEPT")
        return [os.environ.get(name) for name in names]

    assert applied(chosen, look) == [None, None, "", "\udcff", "parent's"]
    assert dict(os.environ) == before
    assert chosen.environment(3, 4) == chosen.env


def test_the_folder_is_the_workers_alone(tmp_path: Path) -> None:
    before = os.getcwd()
    assert applied(checked(cwd=tmp_path), os.getcwd) == str(tmp_path)
    assert os.getcwd() == before


def test_the_nice_value_is_raised() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    after = applied(checked(nice=3), lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert after == min(before + 3, 19)


def _affinity() -> set[int]:
    return os.sched_getaffinity(0)


def test_workers_run_on_the_cpus_that_are_named() -> None:
    in_force = applied(checked(cpus=[_USABLE[-1]]), _affinity, number=5)
    assert in_force == {_USABLE[-1]}
    assert sorted(os.sched_getaffinity(0)) == _USABLE


def test_each_worker_gets_a_cpu_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = checked(cpus="each")
    numbers = range(len(_USABLE) + 1)
    assert [applied(chosen, _affinity, number) for number in numbers] == [
        {_USABLE[number % len(_USABLE)]} for number in numbers
    ]
    # As it would be with others, whatever this machine has.
    pinned: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 3, 12})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: pinned.append(set(cpus)))
    for number in range(4):
        chosen.apply(number, 4)
    assert pinned == [{3}, {7}, {12}, {3}]


# What fails in the worker


def test_a_folder_that_was_removed_meanwhile_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    chosen = checked(cwd=folder)
    folder.rmdir()
    message = f"cwd={str(folder)!r} could not be applied in the worker: No such file .*; the folder"
    with pytest.raises(FileNotFoundError, match=message):
        applied(chosen, int)


def test_a_cpu_that_went_away_meanwhile_is_named() -> None:
    chosen = Surroundings(cpus=frozenset({_MISSING_CPU + 4000}))
    message = (
        rf"cpus=\[\d+\] could not be applied .*: Invalid .* can be used now are \[{_USABLE[0]}"
    )
    with pytest.raises(OSError, match=message):
        applied(chosen, int)


@pytest.mark.parametrize(
    ("options", "culprit", "error", "message"),
    [
        ({"nice": -1}, (os, "nice"), PermissionError(1, "Not permitted"),
         "nice=-1 could not be applied in the worker: Not permitted; .* privilege"),
        ({"threads": 2}, (surroundings, "_limit_loaded"), ZeroDivisionError("inside"),
         r"threads=2 could not be applied in the worker: ZeroDivisionError\('inside'\)"),
    ],
)  # fmt: skip
def test_what_else_fails_is_named(
    options: dict[str, Any], culprit: tuple[Any, str], error: Exception, message: str
) -> None:
    def fail(_: object) -> None:
        raise error

    def call() -> None:
        setattr(*culprit, fail)
        checked(**options).apply(0, 1)

    with pytest.raises(PermissionError if "nice" in options else RuntimeError, match=message):
        in_child(call)


# Threads


def _variables() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in THREAD_VARIABLES}


@pytest.mark.parametrize(
    ("cpus", "workers", "expected"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (8, 8, 1), (2, 4, 1)]
)
def test_auto_is_the_workers_share(
    monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int, expected: int
) -> None:
    monkeypatch.setenv(VARIABLE, str(cpus))
    chosen = checked(threads="auto")
    share = dict.fromkeys(THREAD_VARIABLES, str(expected))
    assert chosen.environment(0, workers) == share
    assert applied(chosen, _variables, 0, workers) == share


def test_auto_counts_the_cpus_that_the_workers_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "8")
    one = dict.fromkeys(THREAD_VARIABLES, "1")
    assert checked(threads="auto", cpus="each").environment(0, 2) == one
    assert checked(threads="auto", cpus=_USABLE[:1]).environment(0, 1) == one
    four = Surroundings(threads="auto", cpus=frozenset(range(4)))
    assert set(four.environment(0, 2).values()) == {"2"}


def test_auto_leaves_alone_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "8")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("BLIS_NUM_THREADS", "")
    chosen = checked(threads="auto", env={"MKL_NUM_THREADS": "6", "NUMBA_NUM_THREADS": None})
    own = {"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "6", "NUMBA_NUM_THREADS": None}
    expected = {**dict.fromkeys(THREAD_VARIABLES, "4"), **own}
    assert applied(chosen, _variables, 0, 2) == expected
    assert "OMP_NUM_THREADS" not in chosen.environment(0, 2)
    assert chosen.environment(0, 2)["NUMBA_NUM_THREADS"] is None


def test_a_number_goes_before_the_parents_variables_but_not_before_env(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    chosen = checked(threads=3, env={"MKL_NUM_THREADS": "6"})
    expected = {**dict.fromkeys(THREAD_VARIABLES, "3"), "MKL_NUM_THREADS": "6"}
    assert chosen.environment(0, 100) == expected
    assert applied(chosen, _variables, 0, 100) == expected


def _parent_with_pools(look: Callable[[Callable[[], set[int]]], object]) -> Any:
    """What `look` returns in a parent that has loaded BLAS, with 4 threads whatever the machine.

    It is given a function that uses it, and returns the number of its threads.
    """

    def parent() -> object:
        import numpy as np
        import threadpoolctl

        libraries = threadpoolctl.ThreadpoolController().lib_controllers
        for library in libraries:
            library.set_num_threads(4)

        def threads() -> set[int]:
            a = np.ones((300, 300))
            assert (a @ a == 300).all()
            return {library.num_threads for library in libraries}

        return look(threads)

    return in_child(parent)


@needs_threadpoolctl
def test_threads_of_loaded_libraries_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "12")
    names = THREAD_VARIABLES[:4]

    def parent(threads: Callable[[], set[int]]) -> list[set[int]]:
        options: list[dict[str, Any]] = [
            {"threads": 3},
            {"threads": 1},
            {"threads": "auto"},
            {"threads": 3, "env": dict.fromkeys(names, " 2,1")},
            {"threads": 3, "env": dict.fromkeys(names, "makes no sense")},
        ]
        found = [applied(checked(**some), threads, 0, 2) for some in options]
        os.environ.update(dict.fromkeys(names, "9"))  # the user's own affair
        return [*found, applied(checked(threads="auto"), threads, 0, 2), threads()]

    assert _parent_with_pools(parent) == [{3}, {1}, {6}, {2}, {4}, {4}, {4}]


# Random numbers


def test_pythons_random_numbers_differ_without_a_seed() -> None:
    random.seed(1)
    drawn = {applied(NONE, random.random, number) for number in range(3)}
    assert len(drawn | {random.random()}) == 4


_CASES = [(7, 0, 0), (7, 1, 0), (7, 0, 1), (7, 1, 1), (8, 0, 0), (0, 0, 0), (10**5000, 0, 0)]
"""Seed, number of the worker, generation."""


def _draw_each(draw: Callable[[], object]) -> list[Any]:
    return [
        applied(checked(seed=seed), draw, number, 2, generation)
        for seed, number, generation in _CASES
    ]


def test_pythons_random_numbers_with_a_seed() -> None:
    drawn = _draw_each(random.random)
    assert drawn == _draw_each(random.random)
    assert len(set(drawn)) == len(_CASES)


def _draw() -> tuple[float, float]:
    import numpy as np

    return random.random(), np.random.random()


@needs_numpy
def test_numpys_random_numbers_differ_without_a_seed() -> None:
    def parent() -> tuple[int, int, bool]:
        import numpy as np

        np.random.seed(1)
        default = {applied(NONE, np.random.random, number) for number in range(3)}
        own = np.random.random() == np.random.RandomState(1).random_sample()
        np.random.mtrand.set_bit_generator(np.random.PCG64(1))
        other = {applied(NONE, np.random.random, number) for number in range(3)}
        return len(default), len(other), own

    # In the parent it goes on as if nothing had been.
    assert in_child(parent) == (3, 3, True)


@needs_numpy
def test_a_generator_in_use_by_another_thread_at_the_fork_is_free_in_the_worker() -> None:
    def hold(held: threading.Event, done: threading.Event) -> None:
        import numpy as np

        with np.random.mtrand.get_bit_generator().lock:
            held.set()
            done.wait()

    def parent() -> int:
        held, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=hold, args=(held, done))
        thread.start()
        held.wait()
        drawn = {applied(NONE, _draw) for _ in range(2)}
        done.set()
        thread.join()
        return len(drawn)

    assert in_child(parent) == 2


@needs_numpy
def test_a_workers_own_children_do_not_repeat_its_numbers() -> None:
    def worker() -> list[tuple[float, float]]:
        return [in_child(_draw), applied(NONE, _draw), _draw()]

    drawn = applied(checked(seed=1), worker)
    assert len({number for pair in drawn for number in pair}) == 6


# In programs of their own: in this one numpy may be loaded already.


@pytest.fixture
def run_here(run_script: RunScript) -> Run:
    """Run a text in a program that knows the names of this module; returns its lines."""
    begin = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom {__name__} import *\n"

    def run(text: str) -> list[str]:
        result = run_script(begin + text)
        assert (result.returncode, result.stderr) == (0, "")
        return str(result.stdout).splitlines()

    return run


@needs_numpy
def test_numpys_random_numbers_with_a_seed(run_here: Run) -> None:
    program = """
from tests.launch.test_launch_surroundings import _draw, _draw_each
by_the_worker = _draw_each(_draw)
assert "numpy" not in sys.modules
import numpy.random
print(by_the_worker == _draw_each(_draw))
print(len({number for pair in by_the_worker for number in pair}))
"""
    # Whenever it is loaded; and the two generators of a worker differ from each other, too.
    assert run_here(program) == ["True", str(2 * len(_CASES))]


@needs_numpy
def test_waiting_for_numpy_leaves_no_trace(run_here: Run) -> None:
    program = """
def look():
    waiting = len(sys.meta_path)
    import numpy.random
    loader = numpy.random.__loader__
    same = numpy.random.__spec__.loader is loader
    return waiting, len(sys.meta_path), type(loader).__name__, same
print(len(sys.meta_path))
print(applied(checked(seed=1), look))
"""
    count, found = run_here(program)
    assert found == f"({int(count) + 1}, {count}, 'SourceFileLoader', True)"


def test_without_options_nothing_is_loaded_and_nothing_changes() -> None:
    def look() -> tuple[object, ...]:
        return set(sys.modules), os.environ.copy(), os.getcwd(), len(sys.meta_path)

    assert in_child(look) == applied(NONE, look)
