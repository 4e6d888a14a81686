"""``procession run`` starts a program, and lets it end, just as the interpreter does."""

from __future__ import annotations

import py_compile
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.running import PROGRAMS, plain, run, same, through_run

WHOAMI = (PROGRAMS / "whoami.py").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the same program as a script, a package, a directory and a zip file."""
    (tmp_path / "whoami.py").write_text(WHOAMI)
    for name in ("package", "directory"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__main__.py").write_text(WHOAMI)
    (tmp_path / "package/__init__.py").touch()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", WHOAMI)
    (tmp_path / "link.py").symlink_to(tmp_path / "directory/__main__.py")
    py_compile.compile(str(tmp_path / "whoami.py"), cfile=str(tmp_path / "compiled.pyc"))
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["whoami.py"],
        ["./whoami.py", "a", "--explain", "-m", "b c"],
        ["directory/../whoami.py"],
        ["link.py"],
        ["compiled.pyc"],
        ["directory", "-x"],
        ["archive.zip", "--", "x"],
        ["-m", "whoami", "--help"],
        ["-m", "package"],
        ["-m", "package.__main__", "a"],
        ["-c", "import sys; print(sorted(globals()), __loader__, sys.argv, sys.path[0])", "a"],
    ],
    ids=" ".join,
)
def test_a_program_sees_what_it_sees_under_python(folder: Path, arguments: list[str]) -> None:
    ended = same(*arguments, folder=folder, stdin="a text\n")
    assert ended.returncode == 0
    assert ended.stderr == ""
    if arguments[0] != "-c":
        assert "functions pickle by name True" in ended.stdout
        assert "stdin a text" in ended.stdout


def test_safe_path_is_respected(folder: Path) -> None:
    text = "import sys; print([p for p in sys.path if p in ('', sys.argv[1])])"
    command = ["-m", "procession", "run", "-c", text, str(folder)]
    assert plain("-P", *command, folder=folder).stdout == "[]\n"
    assert plain(*command, folder=folder).stdout == "['']\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["exception"], 1),
        (["hook"], 1),
        (["group"], 1),
        (["exit", "None"], 0),
        (["exit", "0"], 0),
        (["exit", "7"], 7),
        (["exit", "300"], 44),
        (["exit", "-1"], 255),
        (["exit", "'a text'"], 1),
        (["exit", "ValueError('x')"], 1),
        (["nothing"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_tracebacks_and_what_runs_at_the_end(arguments: list[str], code: int) -> None:
    ended = same("ends.py", *arguments)
    assert ended.returncode == code
    assert "exit function, and this is not flushed" in ended.stdout


@pytest.mark.parametrize("arguments", [["ends.py"], ["-m", "ends"]], ids=" ".join)
def test_an_interrupt_ends_it_as_it_ends_python(arguments: list[str]) -> None:
    ended = same(*arguments, "interrupt")
    assert ended.returncode != 0
    assert ended.stderr.endswith("\nKeyboardInterrupt\n")
    assert "exit function" in ended.stdout


def test_our_own_frames_are_in_no_traceback() -> None:
    for arguments in (["ends.py"], ["-m", "ends"]):
        report = through_run(*arguments, "exception").stderr
        assert "ValueError: wrong" in report
        assert "procession" not in report.replace(str(PROGRAMS), "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = (\n", "SyntaxError: '(' was never closed"),
        (b"x = 1\ny = 2\0\n", "SyntaxError: source code cannot contain null bytes"),
        (b"\x7fELF\x02\0\0", "SyntaxError: source code cannot contain null bytes"),
    ],
)
def test_what_is_not_python(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "program").write_bytes(content)
    ended = through_run("program", folder=tmp_path)
    assert ended.returncode == plain("program", folder=tmp_path).returncode == 1
    assert ended.stderr.startswith(f'  File "{tmp_path}/program", line ')
    assert ended.stderr.endswith(f"{message}\n")


def test_bytes_in_no_encoding(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"# caf\xe9\n")
    ended = through_run("program", folder=tmp_path)
    assert ended.returncode == plain("program", folder=tmp_path).returncode == 1
    assert ended.stderr.startswith("SyntaxError: Non-UTF-8 code starting with '\\xe9' in file ")
    (tmp_path / "program").write_bytes(b"#!python\n# coding: latin-1\nprint(ascii('caf\xe9'))\n")
    assert same("program", folder=tmp_path).stdout == "'caf\\xe9'\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.py"], 2),
        (["-m", "missing"], 1),
        (["-m", "package.missing"], 1),
        (["-m", "xml"], 1),
        (["."], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_missing_is_said_in_pythons_words(
    folder: Path, arguments: list[str], code: int
) -> None:
    ended = same(*arguments, folder=folder)
    assert ended.returncode == code
    assert len(ended.stderr.splitlines()) == 1


def test_usage_errors() -> None:
    for arguments in ([], ["--unknown", "whoami.py"], ["-m"]):
        ended = through_run(*arguments)
        assert ended.returncode == 2
        assert ended.stderr.startswith("usage: procession ")


def test_help_and_version() -> None:
    command = [sys.executable, "-m", "procession"]
    assert run([*command, "--version"]).stdout == "procession 0.1.0\n"
    assert "run a program written for multiprocessing" in run([*command, "--help"]).stdout
    assert run(command).returncode == 2
    helped = through_run("--help")
    assert helped.returncode == 0
    assert "--explain" in helped.stdout
    assert max(map(len, helped.stdout.splitlines())) <= 100


def test_the_installed_command() -> None:
    command = shutil.which("procession", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("the package is not installed beside this interpreter")
    ended = run([command, "run", "ends.py", "exception"])
    expected = plain("ends.py", "exception")
    assert (ended.stdout, ended.returncode) == (expected.stdout, 1)
    assert ended.stderr == expected.stderr
    assert run([command, "run", "ends.py", "interrupt"]).returncode == (
        plain("ends.py", "interrupt").returncode
    )
