"""``--explain`` tells what came from procession, and what from the standard library."""

from __future__ import annotations

import pytest

from tests.cli.running import through_run

TITLE = "procession: what the program used of multiprocessing"
PROGRAM = (
    "it is logging that asks for the current process's name\n{}"
    f"{TITLE}\n"
    "  from procession:            Process, ProcessPoolExecutor, get_context, parent_process\n"
    "  from the standard library:  pool.ThreadPool\n"
)


@pytest.mark.parametrize(("how", "code"), [("return", 0), ("exit", 3)])
def test_the_program_is_explained_at_its_end(how: str, code: int) -> None:
    ended = through_run("--explain", "explained.py", how)
    assert ended.returncode == code
    assert ended.stdout == "ProcessPoolExecutor True\nchild done\n"
    assert ended.stderr == PROGRAM.format("")


def test_a_failing_program_is_explained_after_its_traceback() -> None:
    ended = through_run("--explain", "explained.py", "fail")
    assert ended.returncode == 1
    before, _, explanation = ended.stderr.partition(TITLE)
    assert before.endswith("ValueError: wrong\n")
    assert TITLE + explanation == TITLE + PROGRAM.partition(TITLE)[2]


def test_nothing_is_explained_unasked() -> None:
    assert TITLE not in through_run("explained.py", "return").stderr


def test_a_program_that_uses_nothing() -> None:
    ended = through_run("--explain", "-c", "from concurrent.futures import Executor")
    assert ended.stderr == "procession: the program used nothing of multiprocessing.\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_all_start_methods_are_ours(method: str) -> None:
    ended = through_run("--explain", "start_methods.py", method)
    assert ended.returncode == 0
    ours, _, theirs = ended.stderr.partition("from the standard library:")
    used = {"Event", "Pool", "Process", "Queue", "SimpleQueue", "set_start_method"}
    assert used <= {*ours.replace(",", " ").split()}
    assert theirs.split() == ["nothing"]


def test_explaining_writes_to_no_file_of_the_programs() -> None:
    ended = through_run("--explain", "closes_all.py")
    assert ended.stdout == "bytes written to the child's files: 0\n"
    assert "from procession:            Process\n" in ended.stderr
