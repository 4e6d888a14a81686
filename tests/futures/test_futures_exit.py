"""The interpreter ends while an executor is there: what was submitted is done first.

That the script's run returns shows that no process is left that holds its output pipes.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.plugins.scripts import RunScript
from tests.plugins.terminal import run_at_a_terminal, tracebacks

_HEAD = """
import os, sys, threading, time
from procession import get_context
from procession.futures import Executor

def say(text, after=None):
    if after is not None:
        os.read(after, 1)
    os.write(1, (text + " ").encode())
    return text
"""


def _run(run_script: RunScript, text: str, code: int = 0) -> tuple[list[str], str]:
    result = run_script(_HEAD + text)
    assert result.returncode == code, result.stderr
    return sorted(result.stdout.split()), result.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_all_is_done_at_exit(run_script: RunScript, method: str) -> None:
    text = f"""
if __name__ == "__main__":
    executor = Executor(2, get_context("{method}"))
    for number in range(20):
        executor.submit(say, str(number))
    executor.map(say, map(str, range(20, 400)), chunksize=3)
"""
    said, complaints = _run(run_script, text)
    assert said == sorted(map(str, range(400)))
    assert complaints == ""


def test_callbacks_run_at_exit(run_script: RunScript) -> None:
    text = """
read, write = os.pipe()
executor = Executor(1)
executor.submit(say, "task", read).add_done_callback(lambda future: say("callback"))
os.write(write, b"x")
"""
    assert _run(run_script, text) == (["callback", "task"], "")


def test_a_forgotten_executor_is_waited_for(run_script: RunScript) -> None:
    text = """
read, write = os.pipe()
def forget():
    Executor(1).submit(say, "done", read)
forget()
threading.Timer(0.01, os.write, (write, b"x")).start()
"""
    assert _run(run_script, text) == (["done"], "")


def test_an_error_of_the_program_does_not_keep_it_from_ending(run_script: RunScript) -> None:
    text = """
executor = Executor(1)
executor.submit(say, "done")
raise SystemExit(3)
"""
    assert _run(run_script, text, code=3) == (["done"], "")


def test_nothing_is_taken_behind_the_end(run_script: RunScript) -> None:
    text = """
import atexit
@atexit.register
def late():
    try:
        executor.submit(say, "late")
    except RuntimeError as error:
        say(str(error).replace(" ", "-"))
executor = Executor(1)
executor.submit(say, "first")
"""
    assert _run(run_script, text) == (["cannot-schedule-new-futures-after-shutdown", "first"], "")


# There it is refused: "can't create new thread at interpreter shutdown".
threads_start_late = pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 2),
    reason="Python 3.12.0 and 3.12.1 start no thread when the main one has ended",
)


@threads_start_late
@pytest.mark.parametrize("made", ["before", "late"])
@pytest.mark.parametrize(
    "begin", ["threading.Thread(target=late).start()", "atexit.register(late)"]
)
def test_what_is_submitted_behind_the_main_thread_s_end_is_done(
    run_script: RunScript, made: str, begin: str
) -> None:
    text = f"""
import atexit
def say_slowly(text):
    time.sleep(0.2)
    say(text)
def late():
    if threading.current_thread() is not threading.main_thread():
        threading.main_thread().join()
    used = executor or Executor(2)
    for number in range(3):
        used.submit(say_slowly, str(number))
executor = Executor(2) if "{made}" == "before" else None
{begin}
"""
    assert _run(run_script, text) == (["0", "1", "2"], "")


_LATE = """
import atexit, os, threading
import concurrent.futures.process  # which can not be imported at the end
def use():
    if threading.current_thread() is not threading.main_thread():
        threading.main_thread().join()
    import procession
    try:
        procession.Executor(1).submit(os.write, 1, b"done")
    except RuntimeError as error:
        print(error)
"""


@threads_start_late
@pytest.mark.parametrize(
    ("begin", "said"),
    [
        ("threading.Thread(target=use).start()", "done"),
        ("atexit.register(use)", "cannot schedule new futures after interpreter shutdown\n"),
    ],
)
def test_an_executor_is_first_used_at_the_end(run_script: RunScript, begin: str, said: str) -> None:
    result = run_script(_LATE + begin + "\n")
    assert (result.stdout, result.stderr) == (said, "")


def test_a_module_with_an_executor_can_be_imported_again(run_script: RunScript) -> None:
    text = """
executor = Executor(1, get_context("spawn"))
if __name__ == "__main__":
    executor.submit(say, "once").result()
"""
    assert _run(run_script, text) == (["once"], "")


@pytest.mark.parametrize(
    "wait", ["executor.submit(stay).result()", "list(executor.map(stay, range(9)))"]
)
def test_an_interrupt_within_its_block_ends_its_tasks(tmp_path: Path, wait: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        _HEAD
        + f"""
def stay(x=None):
    print("staying", flush=True)
    while True:
        time.sleep(0.01)

with Executor(1) as executor:
    {wait}
"""
    )
    code, output = run_at_a_terminal(path, [["staying"]])
    assert code == -signal.SIGINT
    assert output.rstrip().endswith("KeyboardInterrupt")
    assert tracebacks(output) == 1


def test_an_interrupt_within_its_block_leaves_no_future_open(run_script: RunScript) -> None:
    text = """
executor = Executor(1)
try:
    with executor:
        begun, behind = executor.submit(time.sleep, 1000), executor.submit(say, "behind")
        raise KeyboardInterrupt
except KeyboardInterrupt:
    say(type(begun.exception()).__name__)
    say(type(behind.exception()).__name__)
"""
    said, complaints = _run(run_script, text)
    assert (said, complaints) == (["PoolTerminated", "PoolTerminated"], "")
