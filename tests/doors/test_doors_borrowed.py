"""What procession does not have is the standard library's, of the same start method."""

from __future__ import annotations

import multiprocessing
import pickle
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import procession
from tests.plugins.scripts import RunScript

METHODS = ["fork", "spawn", "forkserver"]


def test_every_name_of_the_standard_library_is_there() -> None:
    names = {*multiprocessing.__all__}
    assert names <= {*procession.__all__}
    assert names <= {*dir(procession)}
    assert not {name for name in names if not hasattr(procession, name)}
    for method in METHODS:
        context = procession.get_context(method)
        theirs = {name for name in dir(multiprocessing.get_context(method)) if name[0] != "_"}
        assert theirs <= {*dir(context)}
        assert not {name for name in theirs if not hasattr(context, name)}


def test_nothing_is_lent_that_we_have() -> None:
    homes = procession._HOME_OF.keys()
    assert not procession._BORROWED & homes
    assert {*multiprocessing.__all__} >= procession._BORROWED


def test_what_nobody_has_is_an_attribute_error() -> None:
    context: Any = procession.get_context("spawn")
    with pytest.raises(AttributeError, match="'SpawnContext' object has no attribute 'nothing'"):
        _ = context.nothing
    with pytest.raises(AttributeError, match="module 'procession' has no attribute 'nothing'"):
        _ = procession.nothing
    assert not hasattr(context, "_actual_context")


def test_submodules_are_attributes(run_script: RunScript) -> None:
    ours = {found.name for found in pkgutil.iter_modules(procession.__path__)}
    public = {name for name in ours if not name.startswith("_")} - {"pool_worker"}
    assert public == procession._SUBMODULES
    assert not public & {*procession.__all__}
    done = run_script(
        "import sys\n"
        "import procession as mp\n"
        "print([n for n in sys.modules if n.startswith('procession.')])\n"
        "for name in sys.argv[1:]:\n"
        "    assert getattr(mp, name) is sys.modules['procession.' + name], name\n"
        "    assert vars(mp)[name] is getattr(mp, name), name\n"
        "print(hasattr(mp, 'nothing'), hasattr(mp, 'pool_worker'))\n",
        *sorted(public - {"pool", "futures", "joblib"}),  # these load pool_worker
    )
    assert done.stderr == ""
    assert done.stdout == "[]\nFalse False\n"


def test_other_engines_and_journals_are_loaded_when_they_are_asked_for(
    run_script: RunScript, tmp_path: Path
) -> None:
    done = run_script(
        "import sys\n"
        "from procession import Executor, Pool\n"
        "def found():\n"
        "    return [n for n in ('_backends', '_journal') if 'procession.' + n in sys.modules]\n"
        "with Pool(1) as pool, Executor(1) as executor:\n"
        "    print(pool.map(abs, [-1]), [*executor.map(abs, [-2])], [*pool.imap(abs, [-3])])\n"
        "print(found())\n"
        "with Pool(1, backend='threads') as pool:\n"
        "    print(pool.map(abs, [-4]), found())\n"
        "with Pool(1, journal=sys.argv[1]) as pool:\n"
        "    print(pool.map(abs, [-5]), found())\n",
        str(tmp_path / "journal"),
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[1] [2] [3]",
        "[]",
        "[4] ['_backends']",
        "[5] ['_backends', '_journal']",
    ]


def test_the_standard_library_is_loaded_at_the_first_borrowed_name_only(
    run_script: RunScript,
) -> None:
    done = run_script(
        "import sys, procession as mp\n"
        "import procession.connection, procession.util\n"
        "def count(): return len([n for n in sys.modules if n.startswith('multiprocessing')])\n"
        "print(count())\n"
        "mp.Pool, mp.Process, mp.cpu_count(), mp.get_context('spawn').Process, mp.TimeoutError\n"
        "dir(mp), mp.__all__, mp.get_all_start_methods(), hasattr(mp, 'nothing')\n"
        "child = mp.get_context('fork').Process(target=lambda: sys.exit(count()))\n"
        "child.start(); child.join()\n"
        "print(count(), child.exitcode)\n"
        "mp.get_logger\n"
        "print(count() > 0)\n"
    )
    assert done.stderr == ""
    assert done.stdout == "0\n0 0\nTrue\n"


@pytest.mark.parametrize("method", METHODS)
def test_a_context_lends_from_the_one_of_the_same_start_method(method: str) -> None:
    context: Any = procession.get_context(method)
    assert context.get_logger.__self__ is multiprocessing.get_context(method)


def test_the_packages_own_names_follow_the_start_method_that_is_in_force_when_they_are_called(
    run_script: RunScript,
) -> None:
    done = run_script(
        "import procession as mp\n"
        "from procession import Manager, SimpleQueue\n"
        "print(mp.get_start_method(allow_none=True))\n"
        "mp.set_start_method('spawn')\n"
        "print(SimpleQueue.__self__.get_context().get_start_method())\n"
        "mp.set_start_method('fork', force=True)\n"
        "print(Manager.__self__.get_context().get_start_method())\n"
    )
    assert done.stderr == ""
    assert done.stdout == "None\nspawn\nfork\n"


OBJECTS = """
import sys
import procession as mp

def use(queue, lock, value, event, end):
    with lock:
        value.value += 1
    end.send(mp.current_process().name)
    event.wait()
    queue.put("done")

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    queue, lock, value = context.Queue(), context.Lock(), context.Value("i", 1)
    event, (here, there) = context.Event(), context.Pipe()
    child = context.Process(target=use, args=(queue, lock, value, event, there), name="user")
    child.start()
    print(here.recv())
    event.set()
    print(queue.get())
    child.join()
    print(child.exitcode, value.value)
"""


@pytest.mark.parametrize("method", METHODS)
def test_shared_objects_work_in_our_processes(run_script: RunScript, method: str) -> None:
    done = run_script(OBJECTS, method)
    assert done.stderr == ""
    assert done.stdout == "user\ndone\n0 2\n"


MANAGED = """
import procession as mp

def add(shared):
    shared.append(mp.current_process().name.partition("-")[0])

if __name__ == "__main__":
    {first}
    {second}
    shared = manager.list()
    pool.apply(add, (shared,))
    child = mp.Process(target=add, args=(shared,))
    child.start()
    child.join()
    print([*shared])
    pool.close()
    pool.join()
    manager.shutdown()
"""
POOL, MANAGER = "pool = mp.Pool(1)", "manager = mp.Manager()"


@pytest.mark.parametrize(("first", "second"), [(POOL, MANAGER), (MANAGER, POOL)])
@pytest.mark.parametrize("before", ["", "import multiprocessing\n"])
def test_a_managers_objects_know_our_workers_whoever_was_there_first(
    run_script: RunScript, before: str, first: str, second: str
) -> None:
    done = run_script(before + MANAGED.format(first=first, second=second))
    assert done.stderr == ""
    assert done.stdout == "['ForkPoolWorker', 'Process']\n"


def test_a_manager_that_was_there_before_procession_is_known_to_our_processes(
    run_script: RunScript,
) -> None:
    done = run_script(
        "import multiprocessing\n"
        "manager = multiprocessing.Manager()\n"
        "numbers = manager.list()\n"
        "import procession as mp\n"
        "with mp.Pool(1) as pool:\n"
        "    pool.apply(numbers.append, (1,))\n"
        "print(numbers[0], multiprocessing.current_process() is mp.current_process())\n"
        "manager.shutdown()\n"
    )
    assert done.stderr == ""
    assert done.stdout == "1 True\n"


def test_a_key_that_is_set_holds_for_what_the_standard_library_starts(
    run_script: RunScript,
) -> None:
    done = run_script(
        "import multiprocessing, procession as mp\n"
        "if __name__ == '__main__':\n"
        "    mp.current_process().authkey = b'own'\n"
        "    print(multiprocessing.current_process().authkey)\n"
        "    manager = mp.get_context('spawn').Manager()\n"
        "    print(manager.list([1])[0])\n"
        "    manager.shutdown()\n"
        "    try:\n"
        "        mp.Pipe()[0].send(mp.current_process().authkey)\n"
        "    except TypeError as error:\n"
        "        print(error)\n"
    )
    assert done.stderr == ""
    message = "Pickling an AuthenticationString object is disallowed for security reasons"
    assert done.stdout == f"b'own'\n1\n{message}\n"


@pytest.mark.parametrize("before", ["procession.context", "multiprocessing"])
def test_errors_of_what_is_borrowed_are_caught_by_our_names(
    run_script: RunScript, before: str
) -> None:
    done = run_script(
        f"import {before}, multiprocessing, procession as mp\n"
        "mp.current_process()\n"
        "here, there = multiprocessing.Pipe()\n"
        "here.send_bytes(b'longer')\n"
        "for name in (mp.BufferTooShort, mp.ProcessError, multiprocessing.BufferTooShort):\n"
        "    try:\n"
        "        here.send_bytes(b'longer')\n"
        "        there.recv_bytes_into(bytearray(1))\n"
        "    except name as error:\n"
        "        print(error)\n"
        "print(issubclass(multiprocessing.AuthenticationError, mp.AuthenticationError))\n"
        "print(multiprocessing.TimeoutError is mp.TimeoutError)\n"
    )
    assert done.stderr == ""
    # TimeoutError can not be derived from ours; it is replaced if nobody can have it yet.
    assert done.stdout == "b'longer'\n" * 3 + f"True\n{before != 'multiprocessing'}\n"


def test_a_program_of_the_standard_librarys_own_stays_what_it_was(run_script: RunScript) -> None:
    """Its spawned children, which import us, still know who they are."""
    done = run_script(
        "import procession, multiprocessing\n"
        "import procession.context\n"
        "def tell():\n"
        "    me = multiprocessing.current_process()\n"
        "    print(me.name, type(me).__name__, multiprocessing.parent_process().name)\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn', 'forkserver'):\n"
        "        context = multiprocessing.get_context(method)\n"
        "        child = context.Process(target=tell, name=method)\n"
        "        child.start()\n"
        "        child.join()\n"
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "fork ForkProcess MainProcess",
        "spawn SpawnProcess MainProcess",
        "forkserver ForkServerProcess MainProcess",
    ]


def test_contexts_travel_by_name() -> None:
    for method in METHODS:
        context = procession.get_context(method)
        assert pickle.loads(pickle.dumps(context)) is context
    default = procession.context._default_context
    assert pickle.loads(pickle.dumps(default)) is default
    assert pickle.loads(pickle.dumps(procession.BaseContext())) is not default
