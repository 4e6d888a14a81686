"""Ctrl-C at a terminal: one traceback, of the parent; all workers gone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.terminal import run_at_a_terminal, tracebacks

_HEAD = """
import os, signal, sys, time
from procession.pool import Pool

def stay(x=None):
    print("staying", flush=True)
    while True:  # a signal just before a sleep does not end it
        time.sleep(0.01)
def spin(x=None):
    print("staying", flush=True)
    while True:
        pass
def square(x):
    return x * x
"""

_WAITS = {
    "apply": "pool.apply(stay)",
    "map": "pool.map(stay, range(10), 1)",
    "map of pure Python": "pool.map(spin, range(10), 1)",
    "imap": "list(pool.imap(stay, range(10)))",
    "get": "[pool.apply_async(stay) for _ in range(4)][-1].get()",
    "get with a time limit": "pool.apply_async(stay).get(1000)",
    "callback": "pool.apply_async(stay, callback=print).get()",
    "sleep": "pool.map_async(stay, range(10), 1)\n    while True: time.sleep(0.01)",
}


@pytest.fixture
def at_a_terminal(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run a program at a terminal of its own, and press Ctrl-C once it has said "staying"."""

    def run(text: str, presses: int = 1) -> tuple[int, str]:
        path = tmp_path / "program.py"
        path.write_text(_HEAD + text)
        return run_at_a_terminal(path, [["staying"]] * presses)

    return run


@pytest.mark.parametrize("wait", _WAITS)
def test_one_traceback_and_no_worker_left(
    at_a_terminal: Callable[..., tuple[int, str]], wait: str
) -> None:
    code, output = at_a_terminal(f"with Pool(2) as pool:\n    {_WAITS[wait]}\n")
    assert code == -signal.SIGINT
    assert output.rstrip().endswith("KeyboardInterrupt")
    assert tracebacks(output) == 1
    assert "Exception in thread" not in output
    assert "ForkPoolWorker" not in output


def test_without_with(at_a_terminal: Callable[..., tuple[int, str]]) -> None:
    code, output = at_a_terminal("pool = Pool(2)\npool.map(stay, range(10), 1)\n")
    assert code == -signal.SIGINT
    assert tracebacks(output) == 1


def test_a_program_that_catches_it_goes_on_with_its_pool(
    at_a_terminal: Callable[..., tuple[int, str]],
) -> None:
    text = """
with Pool(2) as pool:
    try:
        pool.apply(stay)
    except KeyboardInterrupt:
        print("caught", pool.map(square, range(5)))
"""
    code, output = at_a_terminal(text)
    assert code == 0
    assert output.endswith("caught [0, 1, 4, 9, 16]\n")
    assert tracebacks(output) == 0


def test_during_the_start_of_many_pools(at_a_terminal: Callable[..., tuple[int, str]]) -> None:
    text = """
count = 0
while True:
    with Pool(2, maxtasksperchild=1) as pool:
        pool.map(square, range(10), 1)
    count += 1
    if count == 3:
        print("staying", flush=True)
"""
    code, output = at_a_terminal(text)
    assert code == -signal.SIGINT
    assert tracebacks(output) == 1
    assert "ForkPoolWorker" not in output


def test_programs_that_tasks_start_hear_it_too(
    at_a_terminal: Callable[..., tuple[int, str]],
) -> None:
    text = '''
import subprocess
program = """
import time
print('staying', flush=True)
while True:
    time.sleep(0.01)
"""
def call():
    return subprocess.run([sys.executable, "-c", program], stderr=subprocess.DEVNULL).returncode
with Pool(1) as pool:
    result = pool.apply_async(call)
    while True:
        try:
            print("ended by", result.get())
            break
        except KeyboardInterrupt:
            pass
'''
    code, output = at_a_terminal(text)
    assert (code, output) == (0, "staying\nended by -2\n")


def test_a_second_one_ends_what_the_first_does_not(
    at_a_terminal: Callable[..., tuple[int, str]],
) -> None:
    text = """
with Pool(2) as pool:
    for _ in range(2):
        try:
            pool.apply(stay)
        except KeyboardInterrupt:
            pass
    print("twice")
"""
    code, output = at_a_terminal(text, presses=2)
    assert code == 0
    assert output.endswith("twice\n")
