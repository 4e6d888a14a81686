"""``procession map``: where functions and items come from."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from procession._cli.main import main
from tests.cli.running import PROGRAMS, Ended, run


def through_map(*arguments: str, folder: Path = PROGRAMS, stdin: str = "") -> Ended:
    """Run ``procession map``."""
    command = [sys.executable, "-m", "procession", "map", *arguments]
    return run(command, folder=folder, stdin=stdin)


def results(*arguments: str, folder: Path = PROGRAMS, stdin: str = "") -> list[Any]:
    """The results of a run in which nothing fails, in the order of the items."""
    done = through_map(*arguments, "--plain", folder=folder, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_says_all_about_an_item() -> None:
    done = through_map("mapped:upper", "a", "ü", "--ordered", "-j2")
    assert done.stdout == (
        '{"index": 0, "input": "a", "result": "A"}\n{"index": 1, "input": "ü", "result": "Ü"}\n'
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("dash", [[], ["-"]])
def test_lines_of_standard_input(dash: list[str]) -> None:
    text = "one\ntwo\r\n\n  three \nlast"
    assert results("mapped:upper", *dash, stdin=text) == ["ONE", "TWO", "", "  THREE ", "LAST"]
    assert results("mapped:upper", *dash, stdin="") == []


def test_files_by_their_patterns(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", "d.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    file = f"{PROGRAMS}/mapped.py"
    found = results(f"{file}:echo", "--files", "d.csv", "**/*.txt", "a.*", folder=tmp_path)
    assert found == ["d.csv", "a.txt", "b.txt", "sub/c.txt"]
    assert results(f"{file}:size", "--files", "sub/*", folder=tmp_path) == [9]


def test_json_lines(tmp_path: Path) -> None:
    text = '{"a": [1, null]}\n\n[1, "x"]\n3.5\n'
    (tmp_path / "items.jsonl").write_text(text)
    expected = [{"a": [1, None]}, [1, "x"], 3.5]
    file = f"{PROGRAMS}/mapped.py"
    assert results(f"{file}:echo", "--jsonl", "items.jsonl", folder=tmp_path) == expected
    assert results("mapped:echo", "--jsonl", "-", stdin=text) == expected
    assert results("mapped:join", "--jsonl=-", "--star", stdin='[1, "b"]\n[]\n') == ["1-b", ""]


def test_rows_of_csv(tmp_path: Path) -> None:
    text = 'name,size\nAnna,3\n"two\nlines","4"\n'
    (tmp_path / "rows.csv").write_text(text)
    file = f"{PROGRAMS}/mapped.py"
    assert results(f"{file}:echo", "--csv", "rows.csv", folder=tmp_path) == [
        {"name": "Anna", "size": "3"},
        {"name": "two\nlines", "size": "4"},
    ]
    found = results("mapped:join", "--csv", "-", "--star", stdin=text)
    assert found == ["Anna-3", "two\nlines-4"]


def test_functions_of_modules_files_and_classes(tmp_path: Path) -> None:
    assert results("mapped:Namespace.inner", "abc") == ["cba"]
    assert results("math:sqrt", "--jsonl", "-", stdin="4\n") == [2.0]
    (tmp_path / "own.py").write_text("import beside\ndef f(x): return beside.name + x\n")
    (tmp_path / "beside.py").write_text("name = 'beside '\n")
    assert results(f"{tmp_path}/own.py:f", "x") == ["beside x"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mapped"], "names no function: write module:function"),
        (["mapped:"], "names no function: write module:function"),
        (["mapped:nothing", "a"], "there is no 'nothing' in mapped"),
        (["mapped:CONSTANT", "a"], "mapped:CONSTANT is no function, but int"),
        (["no_such_module:f", "a"], "there is no module 'no_such_module'"),
        (["no/such/file.py:f", "a"], "there is no file 'no/such/file.py'"),
        (["pool-map.py:f", "a"], "there is no file"),
        (["mapped:echo", "--files", "*.none"], "no file matches '*.none'"),
        (["mapped:echo", "--files"], "--files takes patterns"),
        (["mapped:echo", "--jsonl", "none.jsonl"], "none.jsonl can not be read: No such file"),
        (["mapped:echo", "--jsonl", "-", "a"], "are the whole input"),
        (["mapped:echo", "--star", "a"], "--star takes the arguments of a call from"),
        (["mapped:echo", "--jsonl", "-", "--csv", "-"], "give one of them"),
        (["mapped:echo", "a", "--chunksize=0"], "--chunksize must be at least 1, not 0"),
        (["mapped:echo", "a", "--journal=/dev/null"], "it is no regular file"),
        (["mapped:echo", "a", "-j0"], "Number of processes must be at least 1"),
        (["mapped:echo", "a", "--timeout=-1"], "timeout must be a positive number"),
        (["mapped:echo", "a", "--retries=-1"], "retries must be a number from 0 on"),
        (["mapped:echo", "a", "--changed=keep"], "give --journal, too"),
        (["mapped:echo", "a", "--journal=/no/q.part", "--output=/no/q"], "are the same file"),
        (["mapped:echo", "a", "--output=/no/such/folder/x"], "No such file or directory"),
    ],
)
def test_what_can_not_be_is_told(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(PROGRAMS)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = signal.getsignal(signal.SIGINT)
    assert main(["map", *arguments]) == 2
    assert signal.getsignal(signal.SIGINT) == before
    done = capsys.readouterr()
    assert said in done.err
    assert done.err.startswith("procession map: ")
    assert done.out == ""


def test_options_may_stand_between_the_inputs() -> None:
    assert results("mapped:upper", "a", "--jobs", "1", "b", "--errors=skip", "c") == ["A", "B", "C"]
    assert results("mapped:number", "-j1", "-5", "7") == [-5, 7]
    assert through_map("mapped:upper", "--plain", "-j1", "--", "--b").stdout == '"--B"\n'
    done = through_map("mapped:upper", "a", "--jobz=1", "b")
    assert done.returncode == 2
    assert "unrecognized arguments: --jobz=1" in done.stderr


def test_a_file_that_another_module_hides(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def f(x): return x\n")
    done = through_map(f"{tmp_path}/json.py:f", "a")
    assert done.returncode == 2
    assert "there is another module 'json'; rename the file" in done.stderr


def test_a_module_that_fails_shows_where(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    done = through_map("broken:f", "a", folder=tmp_path)
    assert done.returncode == 2
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in done.stderr
    assert "the module of broken:f can not be imported" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["--jsonl", "-"], "1\n{\n3\n", "line 2 of standard input is no JSON"),
        (["--jsonl", "-"], "1\n[NaN]\n3\n", "line 2 of standard input is no JSON"),
        (["--jsonl", "-"], "1\n" + "[" * 99_999, "line 2 of standard input is no JSON"),
        (["--jsonl", "-", "--star"], "[1]\n2\n", "line 2 of standard input is no array"),
        (["--csv", "-"], "a,b\n1,2\n1,2,3\n", "line 3 of standard input has more fields"),
    ],
)
def test_an_input_that_is_broken_ends_it_there(arguments: list[str], text: str, said: str) -> None:
    done = through_map("mapped:echo", *arguments, stdin=text)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_csv_as_spreadsheets_write_it() -> None:
    long = "x" * 200_000
    assert results("mapped:echo", "--csv", "-", stdin=f"\ufeffa,b\n1,{long}\n") == [
        {"a": "1", "b": long}
    ]
    done = through_map("mapped:echo", "--csv", "-", stdin="a,b,a\n1,2,3\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the first line of standard input has the name 'a' twice" in done.stderr


def test_input_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'"a"\n"\xff"\n')
    done = through_map("mapped:echo", "--jsonl", str(tmp_path / "x.jsonl"))
    assert done.returncode == 2
    assert "line 2 of" in done.stderr
    assert "is not UTF-8" in done.stderr
