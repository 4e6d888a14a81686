"""Programs get procession wherever they say multiprocessing, and the stdlib where it lacks it."""

from __future__ import annotations

import pytest

from tests.cli.running import plain, same, through_run


def test_every_way_to_import_works_and_gives_ours_where_there_is_one() -> None:
    expected = plain("imports.py")
    ended = through_run("imports.py")
    assert ended.returncode == expected.returncode == 0
    assert ended.stdout == expected.stdout
    whose = dict(line.rsplit(" ", 1) for line in ended.stderr.splitlines())
    ours = {name for name, owner in whose.items() if owner == "procession"}
    assert ours >= {
        "Process",
        "star Process",
        "pool.Pool",
        "context.BaseContext",
        "process.current_process",
        "get_context('fork').Process",
        "SpawnContext",
    }
    assert whose["ThreadPool"] == "stdlib"
    assert set(whose.values()) <= {"procession", "stdlib", "multiprocessing"}


def test_what_procession_gets_later_is_found_without_a_change_here() -> None:
    ended = through_run("added_later.py")
    assert ended.stderr == ""
    assert ended.stdout == "from procession from procession.pool ours\n"


def test_objects_of_the_standard_library_work_in_our_processes() -> None:
    ended = same("stdlib_objects.py")
    assert ended.returncode == 0
    assert "MainProcess logged" in ended.stdout


def test_executors_are_ours_however_they_are_imported() -> None:
    ended = same("executors.py")
    assert ended.returncode == 0
    text = (
        "import concurrent.futures as before, concurrent.futures.process as early\n"
        "kept = before.ProcessPoolExecutor\n"
        "from procession._cli import standin\n"
        "standin.install()\n"
        "from concurrent.futures import ProcessPoolExecutor as late\n"
        "import procession\n"
        "print(kept.__module__, issubclass(late, procession.Executor))\n"
        "print(late is early.ProcessPoolExecutor is before.ProcessPoolExecutor)\n"
        "print(issubclass(procession.WorkerDied, early.BrokenProcessPool))\n"
    )
    assert plain("-c", text).stdout == "concurrent.futures.process True\nTrue\nTrue\n"


def test_workers_do_not_load_the_executor() -> None:
    text = (
        "import sys\nfrom procession._cli import standin\nstandin.install()\n"
        "import procession.errors.pool, procession._worker.loop\n"
        "print('procession.futures' in sys.modules, 'procession._engine' in sys.modules)\n"
    )
    assert plain("-c", text).stdout == "False False\n"


def test_errors_of_the_standard_library_are_caught_by_our_names() -> None:
    ended = same("timeouts.py")
    assert ended.stdout == "caught True\n"


def test_programs_can_patch_what_they_import() -> None:
    ended = same("patches.py")
    assert ended.stdout == "logged what is to be known\nno pool\n1\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_start_methods(method: str) -> None:
    ended = same("start_methods.py", method)
    assert ended.returncode == 0
    assert ended.stdout.endswith("\nlast\n")


def test_children_run_on_ours_but_other_programs_do_not() -> None:
    ended = through_run("elsewhere.py")
    assert ended.stderr == ""
    *ours, other = ended.stdout.splitlines()
    assert ours == [
        f"{place} procession.process" for place in ("here", "fork", "spawn", "forkserver")
    ]
    assert other == "other multiprocessing.context"


def test_the_standard_library_is_not_loaded_before_it_is_needed() -> None:
    text = (
        "import sys, multiprocessing as mp; mp.Process, mp.cpu_count(), mp.get_context('fork');"
        "print([name for name in sys.modules if name.startswith('procession._stdlib')])"
    )
    assert through_run("-c", text).stdout == "[]\n"


def test_a_copy_that_was_there_before_stays_with_those_who_have_it() -> None:
    text = (
        "import multiprocessing as before, multiprocessing.queues, sys\n"
        "from procession._cli import standin\n"
        "standin.install(); standin.install()\n"
        "import multiprocessing, multiprocessing.queues, procession\n"
        "print(before.Process.__module__, multiprocessing.Process is procession.Process)\n"
        "print(multiprocessing.queues is before.queues, len({*map(type, sys.meta_path)}))\n"
    )
    ended = plain("-c", text)
    assert ended.stderr == ""
    assert ended.stdout.startswith("multiprocessing.context True\nFalse ")
