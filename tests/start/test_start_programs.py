"""Whole programs: what a child does with output, threads and registered functions at its end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugins.scripts import RunScript

HEAD = """
import atexit, os, signal, sys, threading
import procession as mp
ctx = mp.get_context({method!r})
"""


@pytest.fixture
def run(method: str, run_script: RunScript) -> RunScript:
    """Run a program whose context is `ctx`; it must end well, and quietly."""

    def go(text: str, **options: Any) -> Any:
        return run_script(HEAD.format(method=method) + text, **options)

    return go


def test_the_end_of_a_child_has_its_order(run: RunScript) -> None:
    done = run("""
from procession import util
def child():
    atexit.register(print, "registered")
    util.Finalize(None, print, ("finalizer",), exitpriority=10)
    go = threading.Event()
    def work():
        go.wait()
        print("thread")
    threading.Thread(target=work).start()
    atexit.register(lambda: None)
    go.set()
    sys.stdout.write("no newline")
if __name__ == "__main__":
    process = ctx.Process(target=child)
    process.start()
    process.join()
    print("code", process.exitcode)
""")
    assert done.stderr == ""
    said = done.stdout
    assert said.startswith("no newline")
    assert sorted(said.removeprefix("no newline").split()) == sorted(
        ["thread", "finalizer", "registered", "code", "0"]
    )
    assert said.index("thread") < said.index("registered") < said.index("code")


def test_tracebacks_and_texts_go_to_standard_error(run: RunScript) -> None:
    done = run("""
def fail():
    print("before")
    raise ValueError("what it was")  # the line
if __name__ == "__main__":
    for target, args in [(fail, ()), (sys.exit, ("a text",))]:
        process = ctx.Process(target=target, args=args, name="Emil")
        process.start()
        process.join()
        print(process.exitcode)
""")
    assert done.stdout.split() == ["before", "1", "1"]
    lines = done.stderr.splitlines()
    assert lines[:2] == ["Process Emil:", "Traceback (most recent call last):"]
    assert "in fail" in done.stderr
    assert "# the line" in done.stderr
    assert lines[-2:] == ["ValueError: what it was", "a text"]


def test_standard_input_is_the_parents_alone(run: RunScript) -> None:
    done = run("""
def child():
    print("child", repr(sys.stdin.read()))
if __name__ == "__main__":
    read, write = os.pipe()
    os.write(write, b"for the parent\\n")
    os.close(write)
    os.dup2(read, 0)
    process = ctx.Process(target=child)
    process.start()
    process.join()
    print("parent", sys.stdin.readline(), end="")
""")
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["child ''", "parent for the parent"]


def test_daemons_are_ended_and_others_joined_at_exit(run: RunScript) -> None:
    done = run("""
def forever(conn):
    conn.send(None)
    threading.Event().wait()
def late(conn):
    conn.poll(None)
    print("joined")
if __name__ == "__main__":
    ours, its = ctx.Pipe()
    daemon = ctx.Process(target=forever, args=(its,), daemon=True)
    daemon.start()
    ours.recv()
    other = ctx.Process(target=late, args=(its,))
    other.start()
    print("parent ends", flush=True)
    ours.send(None)
""")
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["parent ends", "joined"]


def test_what_is_logged(run: RunScript) -> None:
    done = run("""
def child():
    import logging
    mp.get_logger().info("from the child")
if __name__ == "__main__":
    mp.log_to_stderr().setLevel("INFO")
    process = ctx.Process(target=child, name="Emil")
    process.start()
    process.join()
""")
    assert "[INFO/Emil] from the child" in done.stderr


def test_a_default_timeout_of_sockets_does_not_matter(run: RunScript) -> None:
    done = run("""
import socket
socket.setdefaulttimeout(0)
if __name__ == "__main__":
    for _ in range(5):
        process = ctx.Process(target=sys.exit, args=(3,))
        process.start()
        process.join()
        print(process.exitcode)
""")
    assert done.stderr == ""
    assert done.stdout.split() == ["3"] * 5


def test_classes_of_the_program_go_both_ways(run: RunScript) -> None:
    done = run("""
class Point:
    def __init__(self, x): self.x = x
    def double(self): return Point(self.x * 2)
class Worker(ctx.Process):
    def run(self): print("ran", type(self).__name__, flush=True)
def double(point): return point.double()
if __name__ == "__main__":
    worker = Worker()
    worker.start()
    worker.join()
    with ctx.Pool(1) as pool:
        print(type(pool.apply(double, (Point(1),))) is Point)
        print([point.x for point in pool.map(Point.double, [Point(2), Point(3)])])
""")
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["ran Worker", "True", "[4, 6]"]


def test_settings_and_the_start_method_are_inherited(run: RunScript) -> None:
    done = run("""
def child():
    print(mp.get_start_method(), sys.argv[1:], os.getcwd() == os.path.realpath("/"), sys.path[-1])
if __name__ == "__main__":
    mp.set_start_method(ctx.get_start_method())
    sys.argv.append("added")
    sys.path.append("/nowhere")
    os.chdir("/")
    process = mp.Process(target=child)
    process.start()
    process.join()
""")
    assert done.stderr == ""
    method, *rest = done.stdout.split()
    assert method in ("fork", "spawn", "forkserver")
    assert rest == ["['added']", "True", "/nowhere"]


def test_finalizers_run_although_another_package_took_the_public_name(
    run_script: RunScript,
) -> None:
    done = run_script("""
import sys
import procession as mp
from procession.util import Finalize
def child():
    Finalize(None, print, ("finalizer",), exitpriority=1)
if __name__ == "__main__":
    for name in [*sys.modules]:
        if name.partition(".")[0] == "multiprocessing":
            del sys.modules[name]
    process = mp.get_context("fork").Process(target=child)
    process.start()
    process.join()
""")
    assert done.stderr == ""
    assert done.stdout == "finalizer\n"


def test_nobody_keeps_the_resource_tracker_after_the_children(run: RunScript) -> None:
    done = run("""
from multiprocessing import resource_tracker
if __name__ == "__main__":
    resource_tracker.ensure_running()
    process = ctx.Process(target=int)
    process.start()
    process.join()
    resource_tracker._resource_tracker._stop()  # waits for its end
    print(process.exitcode)
""")
    assert done.stderr == ""
    assert done.stdout == "0\n"


@pytest.mark.parametrize("name", ["spawn", "forkserver"])
def test_another_executable(name: str, run_script: RunScript) -> None:
    text = (
        HEAD.format(method=name)
        + """
def child():
    print("child", os.environ.get("THROUGH"))
if __name__ == "__main__":
    path = sys.argv[0] + ".sh"
    with open(path, "w") as file:
        file.write(f'#!/bin/sh\\nTHROUGH=it exec {sys.executable} "$@"\\n')
    os.chmod(path, 0o755)
    ctx.set_executable(path)
    process = ctx.Process(target=child)
    process.start()
    process.join()
    ctx.set_executable("/nowhere/python")
    try:
        mp.get_context("spawn").Process(target=child).start()
    except OSError as error:
        print(error)
    print(mp.active_children())
"""
    )
    done = run_script(text)
    assert done.stderr == ""
    # The environment of a child of the zygote is its parent's, whatever the zygote's was.
    assert done.stdout.splitlines() == [
        f"child {'it' if name == 'spawn' else None}",
        "[Errno 2] No such file or directory: '/nowhere/python'",
        "[]",
    ]


def test_modules_are_preloaded_for_all(run_script: RunScript) -> None:
    done = run_script("""
import os, sys
import procession as mp
def ask():
    return os.getppid(), "colorsys" in sys.modules, "chunk_of_nothing" in sys.modules
if __name__ == "__main__":
    mp.set_forkserver_preload(["colorsys", "chunk_of_nothing"])
    mp.set_start_method("forkserver")
    with mp.Pool(2) as pool:
        told = {pool.apply(ask) for _ in range(4)}
    print(len(told), *[told.pop()[1:]])
""")
    assert done.stderr == ""
    assert done.stdout == "1 (True, False)\n"
