"""Ctrl-C at a terminal, under every start method; and a second one, while the program ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.lifetimes.victims import METHODS
from tests.plugins.terminal import run_at_a_terminal, tracebacks

Terminal = Callable[..., tuple[int, str]]

STAYING = "staying"
WAITING = "waiting for children"

_HEAD = """
import os, signal, sys, time
from procession import context
from procession._engine import supervisor
from procession._launch import exits

def stay(x=None):
    print("staying", flush=True)
    while True:  # a signal just before a sleep does not end it
        time.sleep(0.01)
def ignore():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def stay_deaf(x=None):
    ignore()
    stay()
def stay_deaf_with_child(method):
    ignore()
    context.get_context(method).Process(target=stay_deaf).start()
    while True:
        time.sleep(0.01)
def clean_up():
    try:
        stay()
    except KeyboardInterrupt:
        print("cleaned up", flush=True)

# Both waits of an end say so when they begin.
end_children = exits._end_children
def say_so():
    print("waiting for children", flush=True)
    end_children()
exits._end_children = say_so
end_pool = supervisor.Supervisor.end
def say_so_too(self):
    print("waiting for workers", flush=True)
    end_pool(self)
supervisor.Supervisor.end = say_so_too
supervisor.TERMINATE_GRACE = 1000
"""


@pytest.fixture
def at_a_terminal(tmp_path: Path) -> Terminal:
    """Run a text in the main block of a program, at a terminal; for `presses` see there."""

    def run(method: str, text: str, *presses: Sequence[str]) -> tuple[int, str]:
        path = tmp_path / "program.py"
        main = f"    method = {method!r}\n    mp = context.get_context(method)\n"
        main += "".join(f"    {line}\n" for line in text.strip().splitlines())
        path.write_text(f"{_HEAD}\nif __name__ == '__main__':\n{main}")
        return run_at_a_terminal(path, presses)

    return run


_WAITS = {
    "map": "pool.map(stay, range(10), 1)",
    "get": "pool.apply_async(stay).get()",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wait", _WAITS)
def test_one_traceback_and_no_workers(at_a_terminal: Terminal, method: str, wait: str) -> None:
    text = f"with mp.Pool(2) as pool:\n    {_WAITS[wait]}"
    code, output = at_a_terminal(method, text, [STAYING])
    assert code == -signal.SIGINT
    assert tracebacks(output) == 1
    assert output.count("KeyboardInterrupt\n") == 1
    assert "PoolWorker" not in output


@pytest.mark.parametrize("method", METHODS)
def test_parent_and_child_have_one_each(at_a_terminal: Terminal, method: str) -> None:
    text = "p = mp.Process(target=stay, name='The child')\np.start()\np.join()"
    code, output = at_a_terminal(method, text, [STAYING])
    assert code == -signal.SIGINT
    assert output.count("Process The child:\nTraceback") == 1
    assert tracebacks(output) == 2
    assert output.count("KeyboardInterrupt\n") == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_second_one_ends_the_wait_for_children(at_a_terminal: Terminal, method: str) -> None:
    """They ignore it, and so does a grandchild."""
    text = "p = mp.Process(target=stay_deaf_with_child, args=(method,))\np.start()\np.join()"
    code, output = at_a_terminal(method, text, [STAYING], [WAITING])
    assert code == -signal.SIGINT
    assert tracebacks(output) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("with_", ["with pool:", "if True:"])
def test_a_second_one_ends_the_wait_for_workers(
    at_a_terminal: Terminal, method: str, with_: str
) -> None:
    """They ignore SIGTERM; the pool is terminated by a with-statement, or at the exit."""
    text = f"pool = mp.Pool(2)\n{with_}\n    pool.map(stay_deaf, range(2), 1)"
    code, output = at_a_terminal(method, text, [STAYING], ["waiting for workers"])
    assert code == -signal.SIGINT
    assert tracebacks(output) == 1


def test_the_first_of_a_program_that_is_ending_lets_children_end(at_a_terminal: Terminal) -> None:
    text = "mp.Process(target=clean_up).start()"
    code, output = at_a_terminal("fork", text, [STAYING, WAITING])
    assert code == -signal.SIGINT
    assert output.count("cleaned up\n") == 1
    assert tracebacks(output) == 1
    assert output.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("method", METHODS)
def test_the_second_of_a_program_that_is_ending(at_a_terminal: Terminal, method: str) -> None:
    text = "mp.Process(target=stay_deaf).start()"
    # The wait begins anew after the first one.
    code, output = at_a_terminal(method, text, [STAYING, WAITING], [WAITING])
    assert code == -signal.SIGINT
    assert output.count(f"{WAITING}\n") == 2
    assert tracebacks(output) == 1


def test_a_child_in_its_own_end(at_a_terminal: Terminal) -> None:
    """What holds for the program holds for each of its processes."""
    text = (
        "def middle():\n"
        "    context.get_context(method).Process(target=stay_deaf).start()\n"
        "p = mp.Process(target=middle, name='The child')\n"
        "p.start()\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "p.join()\n"
        "print('ended with', p.exitcode)\n"
    )
    code, output = at_a_terminal("fork", text, [STAYING, WAITING], [WAITING])
    assert code == 0
    assert "ended with 1\n" in output
    assert tracebacks(output) == 1
