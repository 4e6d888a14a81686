"""``procession compare``: a function by its name, items from anywhere."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.running import Ended, run

MODULE = """\
import sys

def double(text):
    print("printed by the function")
    return text * 2

def add_one(number):
    return number + 1

def refuse(text):
    raise ValueError("never " + text)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(MODULE)
    return tmp_path


def _compare(folder: Path, *arguments: str, stdin: str = "") -> Ended:
    command = [sys.executable, "-m", "procession", "compare", "--seconds", "0.2", *arguments]
    return run(command, folder=folder, stdin=stdin)


@pytest.mark.parametrize("function", ["tools:double", "tools.py:double"])
def test_items_as_arguments(folder: Path, function: str) -> None:
    ended = _compare(folder, function, "a", "b", "c")
    assert ended.returncode == 0
    assert ended.stdout.startswith("double, measured with 3 of 3 items: use ")
    assert "waits for the GIL" in ended.stdout
    assert "- serial: " in ended.stdout


@pytest.mark.parametrize("inputs", [[], ["-"]])
def test_lines_of_standard_input_as_data(folder: Path, inputs: list[str]) -> None:
    ended = _compare(folder, "tools:double", *inputs, "--json", "-j", "3", stdin="a\nb\n")
    assert ended.returncode == 0
    found = json.loads(ended.stdout)  # nothing that the function prints is among it
    assert (found["workers"], found["items"], found["sampled"]) == (3, 2, 2)


def test_json_lines(folder: Path) -> None:
    (folder / "numbers.jsonl").write_text("1\n\n2\n3\n")
    ended = _compare(folder, "tools:add_one", "--jsonl", "numbers.jsonl", "--json")
    assert json.loads(ended.stdout)["serial"]["failed"] == 0
    assert json.loads(ended.stdout)["sampled"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tools:missing", "a"], 2, "there is no 'missing' in tools"),
        (["missing:double", "a"], 2, "there is no module 'missing'"),
        (["tools:double"], 2, "there are no items"),
        (["tools:double", "a", "-j", "1"], 2, "a whole number from 2 on"),
        (["tools:double", "a", "--seconds", "inf"], 2, "must be a number from 0 on, not 'inf'"),
        (["tools:double", "a", "--jsonl", "x"], 2, "--jsonl is the whole input"),
        (["tools:double", "--jsonl", "x"], 2, "x can not be read"),
        (["tools:refuse", "a", "b"], 1, "the function raises for every item"),
    ],
)
def test_what_can_not_be(folder: Path, arguments: list[str], code: int, message: str) -> None:
    ended = _compare(folder, *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr


def test_the_functions_error_is_shown(folder: Path) -> None:
    assert "ValueError: never a" in _compare(folder, "tools:refuse", "a").stderr


def test_an_interrupt_ends_it_without_a_traceback(folder: Path) -> None:
    (folder / "tools.py").write_text(
        "import os, signal\ndef interrupt(text):\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    ended = _compare(folder, "tools:interrupt", "a")
    assert ended.returncode == 128 + signal.SIGINT
    assert ended.stderr == "procession compare: ended by SIGINT\n"
    assert ended.stdout == ""
