"""Every program and every `procession` command of the documentation does what its page shows."""

from __future__ import annotations

import doctest
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, Command, Program, commands, fences, pages, programs

PATIENCE = 50.0
"""Seconds until a program counts as hung. None takes so long by far."""

RUN_ELSEWHERE = {"make demo", "make test", "make bench", "make check", "git clone"}
"""Commands that are not run here: they are run by .ci/run, or need a network."""

BESIDE_OTHERS = {"joblib.md"}
"""Pages whose programs need what is in the environment of `make test-scale` alone."""

PROGRAMS = [program for page in pages() for program in programs(page)]
COMMANDS = [command for page in pages() for command in commands(page)]
RUN_HERE = [command for command in COMMANDS if command.words.startswith("procession ")]


def _run(words: list[str], page: Path, directory: Path) -> tuple[int, str]:
    """Run something among the named programs of a page; exit code and all that was printed."""
    for program in programs(page):
        (directory / program.name).write_text(program.fence.text)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        words,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout


def _check(place: str, expected: str, got: str, code: int) -> None:
    checker = doctest.OutputChecker()
    example = doctest.Example("", expected)
    if not checker.check_output(expected, got, doctest.ELLIPSIS):
        shown = checker.output_difference(example, got, doctest.ELLIPSIS)
        pytest.fail(f"{place}: prints something else\n{shown}")
    assert code == 0 or "Traceback" in expected, f"{place}: exit code {code}"


def _where_it_can_run(program: Program) -> Any:
    is_beside = program.fence.page.name in BESIDE_OTHERS
    return pytest.param(program, marks=[pytest.mark.scale] if is_beside else [])


@pytest.mark.parametrize(
    "program", [*map(_where_it_can_run, PROGRAMS)], ids=lambda program: program.fence.place
)
def test_a_program_prints_what_its_page_says(program: Program, tmp_path: Path) -> None:
    code, got = _run([sys.executable, program.name], program.fence.page, tmp_path)
    expected = program.output
    if not program.ordered:
        expected, got = ("".join(sorted(text.splitlines(True))) for text in (expected, got))
    _check(program.fence.place, expected, got, code)


@pytest.mark.parametrize("command", RUN_HERE, ids=lambda command: command.fence.place)
def test_a_command_prints_what_its_page_says(command: Command, tmp_path: Path) -> None:
    words = [sys.executable, "-m", *shlex.split(command.words)]
    code, got = _run(words, command.fence.page, tmp_path)
    _check(command.fence.place, got if command.output is None else command.output, got, code)


def test_the_programs_are_found() -> None:
    assert len(PROGRAMS) > 20
    assert len(RUN_HERE) > 2
    assert {program.fence.page for program in PROGRAMS} > {
        ROOT / "README.md",
        ROOT / "docs/tutorial.md",
    }


def test_no_program_is_left_out() -> None:
    left_out = [
        fence.place
        for page in pages()
        for fence in fences(page)
        if "py" in fence.info and fence.info != "python"
    ]
    assert left_out == []


def test_each_output_belongs_to_a_program() -> None:
    stray = [
        fence.place
        for page in pages()
        for before, fence in zip([None, *fences(page)], fences(page), strict=False)
        if fence.info.startswith("text") and (before is None or before.info != "python")
    ]
    assert stray == []


def test_other_commands_are_run_elsewhere() -> None:
    unknown = [
        f"{command.fence.place}: {command.words}"
        for command in COMMANDS
        if command not in RUN_HERE and " ".join(command.words.split()[:2]) not in RUN_ELSEWHERE
    ]
    assert unknown == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.fence.place)
def test_programs_that_start_processes_are_guarded(program: Program) -> None:
    text = program.fence.text
    starts = any(name in text for name in ("Pool(", "Process(", "Executor("))
    is_notebook = "# %%" in text
    assert not starts or is_notebook or 'if __name__ == "__main__":' in text
