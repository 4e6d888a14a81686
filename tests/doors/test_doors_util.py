"""The door ``util``: logging, finalizers, hooks; and whose name stands in log records."""

from __future__ import annotations

import logging
import multiprocessing.util
from typing import Any

import pytest

import procession
from procession import util
from tests.plugins.scripts import RunScript


def test_there_is_one_logger_for_both() -> None:
    assert procession.get_logger() is util.get_logger() is multiprocessing.util.get_logger()
    logger = procession.get_context("spawn").get_logger()
    assert logger is logging.getLogger("multiprocessing")
    assert not logger.propagate
    assert (util.SUBDEBUG, util.SUBWARNING) == (5, 25)


def test_all_that_the_standard_library_documents_there_is_there() -> None:
    assert {*multiprocessing.util.__all__} <= {*util.__all__} <= {*dir(util)}
    assert all(getattr(util, name) is getattr(multiprocessing.util, name) for name in util.__all__)
    with pytest.raises(AttributeError, match="module 'procession.util' has no attribute 'no'"):
        _ = util.no


LOGS = """
import procession as mp

def work():
    mp.get_logger().info("working")

if __name__ == "__main__":
    logger = mp.log_to_stderr({level})
    logger.warning("careful")
    for method in ("fork", "spawn", "forkserver"):
        child = mp.get_context(method).Process(target=work, name=method + "ed")
        child.start()
        child.join()
"""


def test_logging_to_stderr_names_level_and_process(run_script: RunScript) -> None:
    lines = run_script(LOGS.format(level="'INFO'")).stderr.splitlines()
    assert "[WARNING/MainProcess] careful" in lines
    for method in ("fork", "spawn", "forkserver"):
        assert f"[INFO/{method}ed] working" in lines


def test_without_a_level_only_warnings_are_shown(run_script: RunScript) -> None:
    assert run_script(LOGS.format(level="")).stderr == "[WARNING/MainProcess] careful\n"


RECORDS = """
import logging, sys
import procession as mp
{imported}
logging.basicConfig(format="%(processName)s %(message)s", stream=sys.stdout)

def grandchild():
    logging.warning("grandchild")

def child():
    logging.warning("child %s", "multiprocessing" in sys.modules)
    mp.current_process().name = "renamed"
    logging.warning("child")
    make = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **kwargs: make(*args, **kwargs))
    another = mp.get_context("fork").Process(target=grandchild, name="Second")
    another.start()
    another.join()
    import multiprocessing
    logging.warning(multiprocessing.current_process().name)
    print(multiprocessing.parent_process().name, flush=True)

first = mp.get_context("fork").Process(target=child, name="First")
first.start()
first.join()
logging.warning("parent")
"""


@pytest.mark.parametrize("imported", ["", "import multiprocessing"])
def test_log_records_name_our_processes_whether_the_standard_library_is_loaded_or_not(
    run_script: RunScript, imported: str
) -> None:
    done = run_script(RECORDS.format(imported=imported))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"First child {bool(imported)}",
        "renamed child",
        "Second grandchild",
        "renamed renamed",
        "MainProcess",
        "MainProcess parent",
    ]


def test_hooks_and_finalizers_run_in_our_children(run_script: RunScript) -> None:
    done = run_script(
        "import procession as mp\n"
        "from procession import util\n"
        "class Thing: pass\n"
        "thing = Thing()\n"
        "util.register_after_fork(thing, lambda thing: print('forked', flush=True))\n"
        "def child():\n"
        "    util.Finalize(None, print, args=('finalized',), exitpriority=1)\n"
        "process = mp.get_context('fork').Process(target=child)\n"
        "process.start(); process.join()\n"
        "print(util.is_exiting())\n"
    )
    assert done.stderr == ""
    assert done.stdout == "forked\nfinalized\nFalse\n"


def test_private_names_can_be_read_too() -> None:
    ours: Any = util
    theirs: Any = multiprocessing.util
    assert ours._run_finalizers is theirs._run_finalizers
