"""The watchdog: a hang is reported with the stacks of all processes, and ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HANGS = {
    "in Python": "threading.Event().wait()",
    "in C, with the interpreter held": "re.match(r'(a+)+b', 'a' * 64)",
    "in a child": "hang_in_child(hurry)",
}

# Time runs out when the place is reached where it hangs, on a slow machine too.
_PROGRAM = """
import os, re, threading
import pytest
from tests.plugins.watchdog import RUNNING

def hang_in_child(hurry):
    child = os.fork()
    if not child:
        hurry()
        threading.Event().wait()
    os.waitpid(child, 0)

def test_first():
    pass

def test_that_hangs(pytestconfig):
    def hurry():
        pytestconfig.stash[RUNNING].expect("test_that_hangs", 0.1)
    print("said before")
    {hurry}
    {statement}
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest run of its own, with the watchdog."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = -p no:hypothesispytest -p tests.plugins.watchdog\n")
    return pytester


def _program(place: str) -> str:
    hurry = "" if place == "in a child" else "hurry()"
    return _PROGRAM.replace("{statement}", HANGS[place]).replace("{hurry}", hurry)


@pytest.mark.parametrize("place", HANGS)
def test_a_hang_is_reported_and_ended(inner: pytest.Pytester, place: str) -> None:
    inner.makepyfile(_program(place))
    result = inner.runpytest_subprocess()
    assert result.ret == -signal.SIGKILL
    result.stderr.fnmatch_lines(
        [
            "*watchdog: no end of test_that_hangs*",
            "---- process *",
            "thread * in the kernel at *",
            "* test_that_hangs (*",
            "*said before*",
        ]
    )
    if place == "in a child":
        result.stderr.fnmatch_lines(["*killing the 2 processes*"])
        assert result.stderr.str().count("hang_in_child (") == 2


def test_without_py_spy_the_processes_print_their_stacks(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCESSION_PY_SPY", "no-such-program")
    inner.makepyfile(_program("in a child"))
    result = inner.runpytest_subprocess()
    assert result.ret == -signal.SIGKILL
    result.stderr.fnmatch_lines(["*killing the 2 processes*"])
    assert result.stderr.str().count("in hang_in_child") == 2


def test_the_marker_sets_the_limit(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        "import pytest, threading\n"
        "@pytest.mark.watchdog(0.2)\n"
        "def test_slow():\n    threading.Event().wait()\n"
    )
    result = inner.runpytest_subprocess()
    assert result.ret == -signal.SIGKILL
    result.stderr.fnmatch_lines(["*no end of *::test_slow*"])


def test_an_interpreter_that_does_not_end_is_reported(inner: pytest.Pytester) -> None:
    inner.makeconftest(
        "import pytest, tests.plugins.watchdog\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_unconfigure():\n    tests.plugins.watchdog.LIMIT = 0.2\n"
    )
    inner.makepyfile(
        "import atexit, threading\n"
        "def test_leaves_a_trap():\n    atexit.register(threading.Event().wait)\n"
    )
    result = inner.runpytest_subprocess()
    assert result.ret == -signal.SIGKILL
    result.stdout.fnmatch_lines(["*1 passed*"])
    result.stderr.fnmatch_lines(["*no end of the end of the interpreter*"])


def test_what_ends_in_time_is_left_alone(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test_quick():\n    pass\n")
    result = inner.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "watchdog" not in result.stderr.str()
