"""What happens at the end of a process: of a child, and of a parent with children."""

from __future__ import annotations

import re

import pytest

from tests.plugins.scripts import RunScript

_IMPORT = {
    "stdlib": "import multiprocessing\nmp = multiprocessing.get_context('fork')\n",
    "procession": "from procession import context\nmp = context.get_context('fork')\n",
}
_OURS = _IMPORT["procession"]


@pytest.fixture(params=list(_IMPORT))
def imports(request: pytest.FixtureRequest) -> str:
    """The lines that make ``mp`` the standard library's fork context, or ours."""
    return _IMPORT[request.param]


def test_non_daemons_are_joined_at_exit(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
import os, sys, threading
read, write = os.pipe()
def child():
    os.read(read, 1)
    print("child ended")
mp.Process(target=child).start()
import atexit
atexit.register(os.write, write, b"x")  # runs before the children are waited for
print("main ended", flush=True)
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["main ended", "child ended"]


def test_daemons_are_terminated_at_exit(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
import os, signal
read, write = os.pipe()
def child():
    signal.signal(signal.SIGTERM, end)
    os.write(write, b"x")
    while True:
        signal.pause()
def end(*_):
    os.write(1, b"terminated\\n")
    os._exit(0)
mp.Process(target=child, daemon=True).start()
os.read(read, 1)
print("main ended", flush=True)
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["main ended", "terminated"]


def test_a_daemon_that_ignores_sigterm_is_killed(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import os, signal
from procession import process
process.DAEMON_GRACE = 0.05
read, write = os.pipe()
def child():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(write, b"x")
    while True:
        signal.pause()
mp.Process(target=child, daemon=True).start()
os.read(read, 1)
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_children_of_children_are_joined_too(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
def grandchild():
    print("grandchild")
def child():
    mp.Process(target=grandchild).start()
mp.Process(target=child).start()
"""
    )
    assert (result.returncode, result.stdout) == (0, "grandchild\n")


def test_threads_of_a_child_are_joined(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
import os, threading
read, write = os.pipe()
def work():
    os.read(read, 1)
    print("thread ended")
def child():
    threading.Thread(target=work).start()
    threading.Thread(target=threading.Event().wait, daemon=True).start()
process = mp.Process(target=child)
process.start()
assert process.is_alive()
os.write(write, b"x")
process.join()
print(process.exitcode)
"""
    )
    assert (result.returncode, result.stdout) == (0, "thread ended\n0\n")


def test_text_of_sys_exit_goes_to_stderr(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
import sys
for value in ("text", ("a", 1), None, 0, 5):
    process = mp.Process(target=sys.exit, args=(value,))
    process.start()
    process.join()
    print(process.exitcode)
"""
    )
    assert result.stdout.split() == ["1", "1", "0", "0", "5"]
    assert result.stderr == "text\n('a', 1)\n"


def test_traceback_names_the_process(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
def fail():
    mp.current_process().name = "renamed"
    print("before")
    raise ValueError("bad")
process = mp.Process(target=fail)
process.start()
process.join()
print(process.exitcode)
"""
    )
    assert result.stdout == "before\n1\n"
    lines = result.stderr.splitlines()
    assert lines[0] == "Process renamed:"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: bad"


def test_our_traceback_begins_with_the_users_code(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
def inner():
    raise KeyError("k")
def fail():
    try:
        1 / 0
    finally:
        inner()
mp.Process(target=fail).start()
"""
    )
    functions = re.findall(r", in (\w+)", result.stderr)
    assert functions == ["fail", "fail", "inner"]
    assert "ZeroDivisionError" in result.stderr


def test_tracebacks_of_several_processes_stay_whole(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
def fail(depth):
    if depth:
        fail(depth - 1)
    raise ValueError(mp.current_process().name)
processes = [mp.Process(target=fail, args=(20,), name=f"p{i}") for i in range(12)]
for process in processes:
    process.start()
"""
    )
    reports = re.split(r"^Process (p\d+):\n", result.stderr, flags=re.MULTILINE)[1:]
    names, texts = reports[::2], reports[1::2]
    assert sorted(names) == sorted(f"p{i}" for i in range(12))
    for name, text in zip(names, texts, strict=True):
        assert text.startswith("Traceback (most recent call last):\n")
        assert text.endswith(f"ValueError: {name}\n")
        assert text.count("ValueError: ") == 1


def test_an_exit_code_beyond_a_byte_never_lets_the_child_escape(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import sys
process = mp.Process(target=sys.exit, args=(2 ** 80 + 3,))
process.start()
process.join()
print(process.exitcode)
"""
    )
    assert (result.returncode, result.stdout) == (0, "3\n")


def test_exit_functions_run_in_order(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import atexit
from procession._launch.exits import register_exit
def say(text):
    return lambda: print(text)
def fail():
    raise ValueError("in an exit function")
def register():
    register_exit(say("low"), priority=-5)
    register_exit(say("zero"), priority=0)
    register_exit(say("high"), priority=15)
    register_exit(fail, priority=14)
    register_exit(say("younger first"), priority=15)
    register_exit(say("never"), priority=7).cancel()
    register_exit(lambda: register_exit(say("late"), priority=3), priority=9)
register()
def child():
    register()
    atexit.register(print, "atexit")
    print("child:")
process = mp.Process(target=child)
process.start()
process.join()
print(process.exitcode)
print("main:")
"""
    )
    order = ["younger first", "high", "late", "zero", "low"]
    assert result.stdout.splitlines() == ["child:", *order, "atexit", "0", "main:", *order]
    assert result.stderr.count("ValueError: in an exit function") == 2
    assert result.returncode == 0


def test_exit_functions_come_before_the_childrens_end(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import os, signal
from procession._launch.exits import register_exit
child = mp.Process(target=signal.pause, daemon=True)
child.start()
register_exit(lambda: print(child.is_alive()), priority=0)
register_exit(lambda: print(child.exitcode), priority=-1)
"""
    )
    assert result.stdout.splitlines() == ["True", "-15"]


def test_a_daemon_that_may_not_be_signalled_is_not_waited_for(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import os, signal
read, write = os.pipe()
daemon = mp.Process(target=os.read, args=(read, 1), daemon=True)
daemon.start()
def refuse():  # as for one that has become another user's
    raise PermissionError
daemon.terminate = daemon.kill = refuse
"""
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_inherited_registrations_do_not_run_in_a_forked_child(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import atexit, os
from procession._launch.exits import register_exit
atexit.register(print, "atexit of main")
handle = register_exit(lambda: print("exit function of main"), priority=0)
daemon = mp.Process(target=__import__("signal").pause, daemon=True)
daemon.start()
def child():
    handle.cancel()  # the parent's: without effect here
process = mp.Process(target=child)
process.start()
process.join()
pid = os.fork()  # a child that is none of ours ends as a whole interpreter does
if pid == 0:
    atexit.unregister(print)
    raise SystemExit(0)
os.waitpid(pid, 0)
print(daemon.is_alive())
"""
    )
    assert result.stdout.splitlines() == ["True", "atexit of main", "exit function of main"] or (
        result.stdout.splitlines() == ["True", "exit function of main", "atexit of main"]
    )


def test_output_that_cannot_be_written_is_no_success(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import sys
def child():
    sys.stdout = open("/dev/full", "w")
    sys.stdout.write("lost")
process = mp.Process(target=child)
process.start()
process.join()
print(process.exitcode)
"""
    )
    assert result.stdout == "120\n"


def test_stdin_of_a_child_is_empty(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
import sys
def child():
    print(repr(sys.stdin.read()))
process = mp.Process(target=child)
process.start()
process.join()
"""
    )
    assert result.stdout == "''\n"
