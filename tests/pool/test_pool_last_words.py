"""What workers print and log reaches the parent, and outlives them, however they started."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.pool.gates import error_of


def _say(text: str) -> tuple[Any, int]:
    print(text)
    logging.getLogger("tests.words").info("about %s", text)
    return procession.worker_state(), procession.worker_id()


def _die(text: str) -> None:
    print(text)
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(code: int) -> None:
    os._exit(code)


def _crash() -> None:
    ctypes.string_at(0)


def _append(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{procession.worker_id()}\n")


def test_a_death_tells_the_last_lines(ctx: Any) -> None:
    with Pool(1, context=ctx) as pool:
        pool.apply(_say, ("first",))
        error = error_of(pool.apply_async(_die, ("last",)))
        assert type(error) is WorkerDied
        assert error.output.splitlines() == ["first", "last"]
        assert "SIGKILL" in str(error)
        assert str(error).endswith("The last that it printed:\n  first\n  last")
        # The next worker begins anew.
        error = error_of(pool.apply_async(_exit, (3,)))
        assert error.output == ""
        assert "os._exit(3)" in error.cause


def _read(number: int, *, then: str) -> None:
    print("reading", number, end=" ... ")
    if then == "die":
        os._exit(3)
    if then == "sleep":
        time.sleep(600)


def test_an_unfinished_line_is_told_too(ctx: Any) -> None:
    with Pool(1, context=ctx) as pool:
        error = error_of(pool.apply_async(_read, (5,), {"then": "die"}))
        assert error.output == "reading 5 ... "
        error = error_of(pool.options(timeout=2).apply_async(_read, (6,), {"then": "sleep"}))
        assert error.output == "reading 6 ... "


def test_an_unfinished_line_is_printed_before_its_worker_is_killed(
    ctx: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with Pool(1, context=ctx) as pool:
        assert pool.apply(_read, (5,), {"then": "end"}) is None
        assert pool.apply(abs, (-1,)) == 1  # the worker has come back for more
        assert capfd.readouterr().out == "reading 5 ... "
    pool.join()


def test_unfinished_lines_of_two_tasks_are_two(ctx: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with Pool(1, context=ctx, output="tagged") as pool:
        for number in (1, 2):
            pool.apply(_read, (number,), {"then": "end"})
    pool.join()
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["reading 1 ... ", "reading 2 ... "]
    assert all(line.startswith("[worker 0 task _read#") for line in lines)


def test_a_crash_tells_where_it_was(run_script: Any) -> None:
    done = run_script(
        """
import ctypes
import procession

def read_header(address):
    return ctypes.string_at(address)

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with procession.get_context(method).Pool(1) as pool:
            try:
                pool.apply(read_header, (0,))
            except procession.WorkerDied as death:
                print(death.stack.splitlines()[-1].endswith("in read_header"), death.cause)
"""
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("True C code read or wrote where it must not") for line in lines)


def test_lines_are_tagged(ctx: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with Pool(1, context=ctx, initializer=str, initargs=("state",), output="tagged") as pool:
        assert pool.apply(_say, ("words",)) == ("state", 0)
    pool.join()
    line = capfd.readouterr().out
    assert line.startswith("[worker 0 task _say#")
    assert line.endswith("] words\n")


def test_log_records_reach_the_parent_s_loggers(ctx: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Pool(1, context=ctx, logs=logging.INFO) as pool:
        pool.map(_say, ["one", "two"])
        pool.close()
        pool.join()
    records: list[Any] = [record for record in caplog.records if record.name == "tests.words"]
    assert [record.getMessage() for record in records] == ["about one", "about two"]
    assert {record.worker for record in records} == {0}
    assert all(record.task.startswith("_say#") for record in records)


def test_finalizers_are_called_at_an_orderly_end(ctx: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Pool(2, context=ctx, finalizer=_Append(str(path))) as pool:
        pool.map(abs, range(10))
        pool.close()
        pool.join()
    assert sorted(path.read_text().split()) == ["0", "1"]


class _Append:
    """Writes the worker's number to a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> None:
        _append(self._path)
