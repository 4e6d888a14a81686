"""The leak check: a test that leaves something behind fails, and the message says what."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_HEAD = """
import ctypes, gc, mmap, os, signal, subprocess, sys, threading
from pathlib import Path
import pytest
"""

LEAKS = {
    "a running child": (
        "subprocess.Popen(['sleep', '600'])",
        "*process * (S): sleep 600*",
    ),
    "a child that nobody reaped": (
        "os.fork() or os._exit(0)",
        "*process * (Z)*",
    ),
    "an orphan": (
        "subprocess.run(['sh', '-c', 'sleep 600 > /dev/null 2>&1 &'])",
        "*process * (S): sleep 600*",
    ),
    "a thread": (
        "threading.Thread(target=threading.Event().wait, name='late', daemon=True).start()",
        "*thread *late*",
    ),
    "a descriptor": (
        "os.open('/dev/null', os.O_RDONLY)",
        "*descriptor *: /dev/null*",
    ),
    "a mapped memory file": (
        "fd = os.memfd_create('kept'); os.truncate(fd, 4096); os.m = mmap.mmap(fd, 4096)",
        "*mapping of */memfd:kept (deleted): 4096 bytes*",
    ),
    "shared memory": (
        "Path('/dev/shm/procession-leak-test').touch()",
        "*/dev/shm/procession-leak-test*",
    ),
}

INNOCENT = {
    "a child that is about to end": (
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "    child.stdin.close()\n"
        "    threading.Thread(target=child.wait).start()"
    ),
    "what only a cycle keeps": (
        "cycle = [open('/dev/null', 'wb', buffering=0)]\n"
        "    os.close(os.dup(cycle[0].fileno()))\n"
        "    cycle.append(cycle)"
    ),
    "an adopted orphan that ends": "subprocess.run(['sh', '-c', 'true &'])",
}


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest run of its own, with the leak check."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = -p no:hypothesispytest -p tests.plugins.leaks\n")
    pytester.makeconftest("import tests.plugins.leaks\ntests.plugins.leaks.PATIENCE = 0.5\n")
    return pytester


@pytest.mark.parametrize("kind", LEAKS)
def test_what_a_test_leaves_behind_is_named(inner: pytest.Pytester, kind: str) -> None:
    statement, expected = LEAKS[kind]
    inner.makepyfile(f"{_HEAD}\ndef test_leaks():\n    {statement}\ndef test_next():\n    pass\n")
    try:
        result = inner.runpytest_subprocess()
    finally:
        Path("/dev/shm/procession-leak-test").unlink(missing_ok=True)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", expected])
    result.assert_outcomes(passed=2, errors=1)


@pytest.mark.parametrize("kind", INNOCENT)
def test_what_is_about_to_go_is_waited_for(inner: pytest.Pytester, kind: str) -> None:
    inner.makeconftest("")
    inner.makepyfile(
        f"{_HEAD}\n@pytest.mark.filterwarnings('ignore')\ndef test_tidy():\n    {INNOCENT[kind]}\n"
    )
    inner.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_reason_is_needed_to_be_left_alone(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        f"""{_HEAD}
@pytest.mark.may_leak(reason="shows that it may")
def test_with_reason():
    os.open("/dev/null", os.O_RDONLY)

@pytest.mark.may_leak
def test_without():
    pass
"""
    )
    result = inner.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*may_leak needs a reason*"])


def test_a_failed_test_fails_once(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        f"{_HEAD}\ndef test_fails():\n    os.open('/dev/null', os.O_RDONLY)\n    assert 0\n"
    )
    result = inner.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*descriptor *: /dev/null*"])
