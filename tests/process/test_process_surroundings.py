"""What a child inherits, and what it must not: descriptors, standard streams, bare forks."""

from __future__ import annotations

from pathlib import Path

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


def test_each_worker_has_the_same_few_descriptors(run_script: RunScript) -> None:
    result = run_script(
        """
import os
from procession.pool_worker import launch_worker
read, write = os.pipe()
results, tell = os.pipe()
def work():
    os.write(tell, f"{len(os.listdir('/proc/self/fd'))} ".encode())
    os.read(read, 1)
    return 0
workers = [launch_worker(work) for _ in range(8)]
os.close(tell)
os.write(write, b"x" * len(workers))
print([worker.wait() for worker in workers])
with open(results) as file:
    print(*set(map(int, file.read().split())))
"""
    )
    # The standard ones, our pipes, lifeline and arena, an empty standard input, the listing itself.
    assert (result.stdout, result.stderr) == (f"{[0] * 8}\n{3 + 4 + 2 + 1 + 1}\n", "")


def test_generations_do_not_pile_up_descriptors(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import os
def descend(depth):
    print(len(os.listdir("/proc/self/fd")))
    if depth:
        child = mp.Process(target=descend, args=(depth - 1,))
        child.start()
        child.join()
descend(5)
"""
    )
    counts = [int(line) for line in result.stdout.split()]
    # From the second generation on, each has its parent's lifeline. (A parent's first child is
    # forked when the pipe for children exists, so the main process alone has fewer.)
    assert len(counts) == 6
    assert len(set(counts[1:])) == 1


def test_closed_standard_streams_do_not_matter(imports: str, run_script: RunScript) -> None:
    result = run_script(
        imports
        + """
import os, sys
out = os.dup(1)
def child():
    os.write(out, repr(sys.stdin.read()).encode())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    stream.close()
process = mp.Process(target=child)
process.start()
process.join()
os.write(out, f" {process.exitcode}".encode())
"""
    )
    assert result.stdout == "'' 0"


def test_what_goes_to_closed_descriptors_does_not_kill(
    imports: str, run_script: RunScript, tmp_path: Path
) -> None:
    """Descriptors made now have the numbers of standard streams, and C code prints there."""
    log = tmp_path / "log"
    run_script(
        """
import os, sys
if len(sys.argv) == 2:
    os.closerange(0, 3)
    os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
"""
        + imports
        + """
import contextlib
gates = os.pipe()
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for fd in (*gates, out):
    os.dup2(fd, fd + 10)
gate, open_gate, out = (fd + 10 for fd in (*gates, out))
os.closerange(0, 3)
def child():
    print("nowhere")
    os.read(gate, 1)
process = mp.Process(target=child)
process.start()
for number in (1, 2):
    with contextlib.suppress(OSError):
        os.write(number, b"printed by C code")
os.write(open_gate, b"x")
process.join()
os.write(out, f"{sys.stdin} {sys.stdout} {sys.stderr} {process.exitcode}".encode())
""",
        str(log),
    )
    assert log.read_text() == "None None None 0"


def test_a_bare_fork_in_a_child_ends_where_the_child_would(
    imports: str, run_script: RunScript
) -> None:
    result = run_script(
        imports
        + """
import os, sys
def grandchild():
    print("grandchild", mp.current_process().name == f"{name}:1")
def child():
    global name
    name = mp.current_process().name
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    parent = mp.parent_process()
    print("copy", parent.pid == os.getpid(), parent.is_alive(), mp.active_children())
    parent.join(0)
    process = mp.Process(target=grandchild)
    process.start()
    process.join()
    print(process.exitcode)
process = mp.Process(target=child)
process.start()
process.join()
print("main", process.exitcode)
"""
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "copy False True []",
        "grandchild True",
        "0",
        "main 0",
    ]


def test_a_bare_fork_sees_the_end_of_the_parent_and_lives_on(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import os, sys
out = os.dup(1)
ready, tell = os.pipe()
def child():
    if os.fork() == 0:
        parent = mp.parent_process()
        os.write(tell, str(parent.is_alive()).encode())
        parent.join()
        os.write(out, str(parent.is_alive()).encode())
        os._exit(0)
process = mp.Process(target=child)
process.start()
process.join()
os.write(out, os.read(ready, 10) + b" ")
os._exit(0)
"""
    )
    assert (result.stdout, result.stderr) == ("True False", "")


def test_children_that_the_last_steps_of_a_child_start_are_joined(run_script: RunScript) -> None:
    result = run_script(
        _OURS
        + """
import atexit, threading
from procession._launch.exits import register_exit
def child():
    ended = threading.Event()
    register_exit(ended.set, priority=-1)
    def start_late():
        ended.wait()
        mp.Process(target=print, args=("of a thread",)).start()
    threading.Thread(target=start_late).start()
    atexit.register(lambda: mp.Process(target=print, args=("of atexit",)).start())
process = mp.Process(target=child)
process.start()
process.join()
print(process.exitcode)
"""
    )
    assert result.stderr == ""
    *children, code = result.stdout.splitlines()
    assert (sorted(children), code) == (["of a thread", "of atexit"], "0")
