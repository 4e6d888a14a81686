"""Printed lines of several processes arrive whole, and each once."""

from __future__ import annotations

import collections
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.scripts import LIMIT, RunScript, script_environment

_PRINTER = """
from procession import context
import sys
mp = context.get_context("fork")
def child(letter):
    for i in range(1000):
        print(letter, i, letter * (i % 90), sep="-")
    print(letter + "1\\n" + letter + "2")
    print(letter * 4000)
if __name__ == "__main__":
    print("once, of the parent")
    children = [mp.Process(target=child, args=(letter,)) for letter in "abc"]
    for process in children:
        process.start()
    for process in children:
        process.join()
"""


def _check(text: str) -> None:
    lines = text.splitlines()
    expected = collections.Counter(["once, of the parent"])
    for letter in "abc":
        expected.update(f"{letter}-{i}-{letter * (i % 90)}" for i in range(1000))
        expected.update([letter + "1", letter + "2", letter * 4000])
    assert collections.Counter(lines) == expected
    for letter in "abc":  # a print of two lines was not torn apart either
        assert lines[lines.index(letter + "1") + 1] == letter + "2"


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_lines_in_a_pipe(run_script: RunScript, options: tuple[str, ...]) -> None:
    result = run_script(_PRINTER, options=options)
    assert result.stderr == ""
    _check(result.stdout)


@pytest.mark.parametrize("mode", ["w", "a"])
def test_lines_in_a_file(tmp_path: Path, mode: str) -> None:
    program, output = tmp_path / "program.py", tmp_path / "output"
    program.write_text(_PRINTER)
    with output.open(mode) as file:
        subprocess.run(
            [sys.executable, program],
            stdout=file,
            env=script_environment(),
            timeout=LIMIT,
            check=True,
        )
    _check(output.read_text())


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_lines_on_a_terminal(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PRINTER)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *options, program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=script_environment(),
    )
    os.close(theirs)
    data = bytearray()
    try:
        while piece := os.read(ours, 65536):
            data += piece
    except OSError:
        pass  # how a terminal's end is told
    os.close(ours)
    assert process.wait(LIMIT) == 0
    _check(data.decode())


def test_what_the_parent_had_not_flushed_is_printed_once(run_script: RunScript) -> None:
    result = run_script(
        """
import sys
from procession import context
mp = context.get_context("fork")
sys.stdout.write("no newline; ")
sys.stderr.write("error; ")
process = mp.Process(target=print, args=("child",))
process.start()
process.join()
print("end")
"""
    )
    assert result.stdout == "no newline; child\nend\n"
    assert result.stderr == "error; "


def test_a_killed_child_has_printed_its_lines(run_script: RunScript) -> None:
    result = run_script(
        """
import os
from procession import context
mp = context.get_context("fork")
def child():
    print("last words")
    os.kill(os.getpid(), 9)
process = mp.Process(target=child)
process.start()
process.join()
"""
    )
    assert result.stdout == "last words\n"


def test_a_part_of_a_line_is_held_until_flushed_or_ended(run_script: RunScript) -> None:
    result = run_script(
        """
import os, sys
from procession import context
mp = context.get_context("fork")
def child():
    print("a", end="")
    os.write(1, b"1")
    print("b", end="", flush=True)
    os.write(1, b"2")
    print("c\\r", end="")
    os.write(1, b"3")
    sys.stdout.writelines(["d", "e\\n", "f"])
    os.write(1, b"4")
process = mp.Process(target=child)
process.start()
process.join()
"""
    )
    assert result.stdout == "1ab2c\n3de\n4f"  # (universal newlines made \r a \n)


def test_streams_put_in_place_by_the_program_are_left_alone(run_script: RunScript) -> None:
    result = run_script(
        """
import io, sys
from procession import context
mp = context.get_context("fork")
def child():
    print("captured")
    print(repr(sys.stdout.getvalue()), file=sys.__stdout__, flush=True)
sys.stdout = io.StringIO()
process = mp.Process(target=child)
process.start()
process.join()
sys.stdout = sys.stderr = sys.stdin = None
process = mp.Process(target=child)
process.start()
process.join()
assert process.exitcode == 1
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "'captured\\n'\n", "")


def test_a_stream_locked_at_the_fork_does_not_hang_the_child(tmp_path: Path) -> None:
    """Another thread of the parent is writing to a full pipe, and so holds the stream's lock."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import fcntl, logging, os, select, sys, threading
from procession import context
mp = context.get_context("fork")
logging.basicConfig(stream=sys.stdout, format="%(message)s")
def child():
    print("printed")
    logging.warning("logged")
def write():
    sys.stdout.buffer.write(b"." * 2**20)
    sys.stdout.buffer.flush()
# The fork flushes first, and would wait for the thread: so take the lock just after that.
from procession._launch import lifeline
hold = lifeline.hold
def hold_and_block():
    hold()
    thread = threading.Thread(target=write)
    thread.start()
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    while poll.poll(0):  # until the pipe is full
        pass
lifeline.hold = hold_and_block
process = mp.Process(target=child)
process.start()
sys.stderr.write("forked\\n")
process.join()
sys.stderr.write(f"{process.exitcode}\\n")
"""
    )
    running = subprocess.Popen(
        [sys.executable, program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=script_environment(),
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "forked\n"
    output, errors = running.communicate(timeout=LIMIT)
    assert errors == "0\n"
    assert output.replace(".", "") == "printed\nlogged\n"


def test_stdin_being_read_at_the_fork_does_not_hang_the_child(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import sys, threading
from procession import context
mp = context.get_context("fork")
def start():
    process = mp.Process(target=print, args=("child",))
    process.start()
    process.join()
    print(process.exitcode, flush=True)
threading.Thread(target=start).start()
print("read:", sys.stdin.readline())
"""
    )
    running = subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=script_environment(),
    )
    assert running.stdout is not None
    assert [running.stdout.readline() for _ in range(2)] == ["child\n", "0\n"]
    output, _ = running.communicate("line\n", timeout=LIMIT)
    assert output == "read: line\n\n"
