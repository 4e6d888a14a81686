"""The surroundings of a worker: threads of loaded libraries, numpy in odd states, fewer CPUs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procession._launch.surroundings import NONE, THREAD_VARIABLES
from tests.launch.test_launch_surroundings import (
    _USABLE,
    Run,
    _nothing_set,
    _parent_with_pools,
    _variables,
    applied,
    checked,
    in_child,
    needs_numpy,
    needs_threadpoolctl,
    run_here,
)

__all__ = ["_nothing_set", "run_here"]  # fixtures


def _in_thread(call: Callable[[list[Any]], None]) -> list[Any]:
    seen: list[Any] = []
    thread = threading.Thread(target=call, args=(seen,))
    thread.start()
    thread.join()
    return seen


@needs_threadpoolctl
def test_another_thread_of_the_worker_can_still_set_a_limit() -> None:
    def parent(threads: Callable[[], set[int]]) -> Any:
        from threadpoolctl import threadpool_limits

        def limit(seen: list[set[int]]) -> None:
            with threadpool_limits(2):
                seen.append(threads())

        return applied(checked(threads=3), partial(_in_thread, limit))

    assert _parent_with_pools(parent) == [{2}]


@needs_numpy
def test_without_threadpoolctl_the_variables_are_set_all_the_same() -> None:
    def parent() -> Any:
        import numpy as np

        assert np.__version__
        sys.modules["threadpoolctl"] = None  # type: ignore[assignment] # as if not installed
        return applied(checked(threads=3), _variables)

    assert in_child(parent) == dict.fromkeys(THREAD_VARIABLES, "3")


def test_a_numpy_that_takes_no_seed_is_named_and_a_half_loaded_one_left_alone() -> None:
    def stubborn(_: object) -> None:
        raise TypeError("no seed")

    def call(**content: object) -> bool:
        sys.modules["numpy.random"] = SimpleNamespace(**content)  # type: ignore[assignment]
        NONE.apply(0, 1)
        return True

    assert in_child(call)
    with pytest.raises(RuntimeError, match=r"seed could not be applied .*TypeError\('no seed'\)"):
        in_child(partial(call, seed=stubborn))


def test_a_failed_load_of_numpy_is_tried_again_and_seeded(run_here: Run, tmp_path: Path) -> None:
    # A made-up numpy, that can not be loaded at first.
    folder = tmp_path / "numpy" / "random"
    folder.mkdir(parents=True)
    (tmp_path / "numpy" / "__init__.py").touch()
    (folder / "__init__.py").write_text(
        "import os\nif 'READY' not in os.environ: raise ImportError\n"
        "def seed(words): global seen; seen = words\n"
    )
    program = f"""
sys.path.insert(0, {str(tmp_path)!r})
def look():
    try:
        import numpy.random
    except ImportError:
        os.environ["READY"] = "1"
    import numpy.random
    return len(numpy.random.seen)
print(applied(checked(seed=1), look))
"""
    assert run_here(program) == ["8"]


@needs_threadpoolctl
def test_for_a_library_that_is_loaded_later_threadpoolctl_is_not(
    run_here: Run,
) -> None:
    program = """
def load():
    before = "threadpoolctl" in sys.modules
    import numpy
    from threadpoolctl import ThreadpoolController
    return before, {library.num_threads for library in ThreadpoolController().lib_controllers}
print(applied(checked(threads=1), load))
"""
    assert run_here(program) == ["(False, {1})"]


def test_of_a_parent_with_fewer_cpus_those_are_used() -> None:
    def fewer() -> set[int]:
        os.sched_setaffinity(0, _USABLE[-1:])
        checked(cpus="each").apply(1, 2)
        return os.sched_getaffinity(0)

    assert in_child(fewer) == set(_USABLE[-1:])


class _Index:
    def __index__(self) -> int:
        return 1


def test_what_counts_as_a_whole_number_becomes_one() -> None:
    chosen = checked(nice=_Index(), threads=_Index(), seed=_Index())
    assert [type(kept) for kept in (chosen.nice, chosen.threads, chosen.seed)] == [int, int, int]
