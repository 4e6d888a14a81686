"""``procession map``: what comes out, when, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import LIMIT, PROGRAMS
from tests.cli.test_map_inputs import through_map
from tests.journal.runs import Runs, recorded
from tests.plugins.scripts import script_environment

COMMAND = [sys.executable, "-m", "procession", "map"]


def opened(*arguments: str, **words: Any) -> subprocess.Popen[str]:
    """Begin ``procession map``, in a session of its own."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=PROGRAMS,
        env=script_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **words,
    )


def test_an_item_that_fails_has_a_line_with_its_error() -> None:
    done = through_map("mapped:number", "1", "x", "3", "y", "--ordered")
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"index": 0, "input": "1", "result": 1}
    assert lines[1]["error"] == {
        "type": "ValueError",
        "message": "invalid literal for int() with base 10: 'x'",
    }
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert 'procession map: item 1, "x":' in done.stderr
    assert "in number\n    return int(text)" in done.stderr  # the first one's traceback
    assert done.stderr.endswith("procession map: 2 of 4 items failed\n")


def test_errors_can_be_skipped_or_end_it() -> None:
    done = through_map("mapped:number", "1", "x", "3", "--errors", "skip")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    done = through_map("mapped:number", "x", *map(str, range(500)), "--errors=raise", "--ordered")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    done = through_map("mapped:number", "1", "x", "y", "--plain")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert 'item 2, "y":\nValueError' in done.stderr


def test_a_result_that_json_can_not_say_is_that_items_error() -> None:
    done = through_map("mapped:odd", "set", "nan", "object", "fine", "--ordered")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [line["error"]["type"] for line in lines[:3]] == ["TypeError"] * 3
    assert "JSON can not say this result" in lines[0]["error"]["message"]
    assert lines[3]["result"] == 1


def test_numpys_numbers_and_arrays_are_json(tmp_path: Path) -> None:
    text = "import numpy\ndef f(x): return [numpy.int64(1), numpy.arange(3), numpy.float32(0.5)]\n"
    (tmp_path / "arrays.py").write_text(text)
    done = through_map("arrays:f", "x", "--plain", folder=tmp_path)
    assert done.stdout == "[1, [0, 1, 2], 0.5]\n"


def test_deaths_timeouts_and_retries() -> None:
    done = through_map("mapped:die", "a", "die", "b", "--ordered", "-j1", "--retries=1")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("result") for line in lines] == ["a", None, "b"]
    assert lines[1]["error"]["type"] == "WorkerDied"
    done = through_map("mapped:sleep", "0", "600", "--timeout=0.3", "--ordered")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[1]["error"]["type"] == "TaskTimeout"
    assert done.returncode == 1


def test_results_come_while_the_input_is_open() -> None:
    with opened("mapped:upper", "-j1") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for index, text in enumerate("abc"):
            running.stdin.write(f"{text}\n")
            running.stdin.flush()
            assert json.loads(running.stdout.readline()) == {
                "index": index,
                "input": text,
                "result": text.upper(),
            }
        running.stdin.close()
        assert running.stdout.read() == ""
        assert running.wait(LIMIT) == 0


def test_results_come_as_they_are_ready() -> None:
    with opened("mapped:sleep", "600", "0", "0", "-j2") as running:
        assert running.stdout is not None
        found = {json.loads(running.stdout.readline())["index"] for _ in range(2)}
        assert found == {1, 2}
        running.send_signal(signal.SIGTERM)
        assert running.wait(LIMIT) == 128 + signal.SIGTERM


def test_a_result_does_not_wait_for_the_next_item() -> None:
    """Which is here already, and takes long."""
    with opened("mapped:sleep", "-j1") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("0\n600\n601\n")
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["result"] == "0"
        running.send_signal(signal.SIGTERM)
        assert running.wait(LIMIT) == 128 + signal.SIGTERM


def test_an_endless_input_into_a_reader_that_leaves() -> None:
    """As `yes | procession map ... | head` does; it ends quietly."""
    with opened("mapped:upper") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        with subprocess.Popen(["yes", "a"], stdout=running.stdin) as endless:
            assert '"result": "A"' in running.stdout.readline()
            running.stdout.close()
            assert running.wait(LIMIT) == 128 + signal.SIGPIPE
            assert running.stderr.read() == ""
            running.stdin.close()
            endless.wait(LIMIT)


def test_memory_stays_flat_over_a_long_input() -> None:
    with opened("mapped:echo", "-j1", "--plain") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        line = "x" * 10_000
        with subprocess.Popen(["yes", line], stdout=running.stdin) as endless:
            sizes = []
            for _ in range(3):
                for _ in range(5_000):  # of 10 kB each
                    assert len(running.stdout.readline()) == len(line) + 3
                sizes.append(_resident(running.pid))
            running.kill()
            running.wait()
            running.stdin.close()
            endless.wait(LIMIT)
    assert sizes[2] - sizes[0] < 30 << 20  # 100 MB have passed meanwhile


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    shared = int(Path(f"/proc/{pid}/statm").read_text().split()[2])
    return (pages - shared) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_the_next_run_goes_on(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(tmp_path / "runs.log")
    monkeypatch.setenv("RUNS_LOG", str(runs.path))
    journal = tmp_path / "run.sqlite"
    arguments = ("mapped:noted", "--journal", str(journal))
    with opened(*arguments) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write("".join(f"{item}\n" for item in range(20)))
        running.stdin.flush()
        lines = [running.stdout.readline() for _ in range(20)]
        os.killpg(running.pid, number)  # as a terminal does: the workers get it, too
        assert running.wait(LIMIT) == 128 + number
        assert running.stderr.read() == (
            f"procession map: ended by {number.name}; 20 results are in standard output; the same "
            "command goes on\n"
        )
    assert {json.loads(line)["index"] for line in lines} == recorded(journal)
    done = through_map(*arguments, stdin="".join(f"{item}\n" for item in range(25)))
    assert done.returncode == 0
    found = sorted(json.loads(line)["result"] for line in done.stdout.splitlines())
    assert found == [item**2 for item in range(25)]
    assert len(runs.all()) == 25


def _begin(running: Any, output: Path) -> Any:
    """Have it write what comes of "a" to the part of its output; its standard input."""
    running.stdin.write("a\n")
    running.stdin.flush()
    part = Path(f"{output}.part")
    while not part.exists() or not part.read_text():
        assert running.poll() is None
    return running.stdin


def test_an_output_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("what was before\n")
    with opened("mapped:upper", "--output", str(path)) as running:
        given = _begin(running, path)
        assert path.read_text() == "what was before\n"
        given.close()
        assert running.wait(LIMIT) == 0
    assert path.read_text() == '{"index": 0, "input": "a", "result": "A"}\n'
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_an_output_that_is_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target.name)
    assert through_map("mapped:upper", "b", "--output", str(link)).returncode == 0
    assert link.is_symlink()
    assert '"B"' in target.read_text()
    assert sorted(os.listdir(tmp_path)) == ["link.jsonl", "target.jsonl"]


@pytest.mark.parametrize("name", ["/dev/fd/1", "/proc/self/fd/1"])
def test_an_output_may_be_another_name_of_an_open_file(name: str, tmp_path: Path) -> None:
    place = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "procession", "map", "mapped:upper", "b", "--output", name]
    with place.open("w") as file:
        file.write("a line\n")
        file.flush()
        subprocess.run(command, cwd=PROGRAMS, stdout=file, check=True, timeout=LIMIT)
    first, second = place.read_text().splitlines()
    assert (first, '"B"' in second) == ("a line", True)
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with opened("mapped:upper", "--output", str(path)) as running:
        given = _begin(running, path)
        second = through_map("mapped:upper", "b", "--output", str(path))
        assert (second.returncode, second.stdout) == (2, "")
        assert f"{path}.part: another run is writing it" in second.stderr
        given.close()
        assert running.wait(LIMIT) == 0
    assert path.read_text() == '{"index": 0, "input": "a", "result": "A"}\n'


def test_a_full_disk_is_told_by_its_file() -> None:
    done = through_map("mapped:upper", "a", "--output", "/dev/full")
    assert done.returncode == 2
    assert done.stderr == "procession map: /dev/full: No space left on device\n"


def test_an_error_without_a_text_is_that_items_error() -> None:
    done = through_map("mapped:unspeakable", "a", "fail", "--ordered")
    assert done.returncode == 1
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["result"] == "a"
    assert second["error"]["type"] == "UnspeakableError"


def test_an_interrupt_while_the_module_is_imported(tmp_path: Path) -> None:
    program = tmp_path / "slow.py"
    begun = tmp_path / "begun"
    program.write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # even in the background
        f"open({str(begun)!r}, 'w').close()\n"
        "while True: time.sleep(0.01)\n"  # a signal just before a sleep does not end it
    )
    with opened(f"{program}:f", "a") as running:
        while not begun.exists():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.wait(LIMIT) == 130


def test_progress_and_what_functions_print_do_not_mix_with_results() -> None:
    done = through_map("mapped:chatty", "a", "b", "--plain", "--progress")
    assert done.stdout == '"a"\n"b"\n'
    for said in ("working on a", "printed b", "written"):
        assert said in done.stderr
    assert "2/2" in done.stderr


def test_failed_items_run_again_with_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(tmp_path / "runs.log")
    monkeypatch.setenv("RUNS_LOG", str(runs.path))
    arguments = ("mapped:noted", *map(str, range(5)), "--journal", str(tmp_path / "j"), "--ordered")
    monkeypatch.setenv("FAILING", "3")
    assert through_map(*arguments).returncode == 1
    monkeypatch.setenv("FAILING", "none")
    done = through_map(*arguments)
    assert done.returncode == 0
    assert [json.loads(line)["result"] for line in done.stdout.splitlines()] == [0, 1, 4, 9, 16]
    assert sorted(item for _, item in runs.all()) == ["0", "1", "2", "3", "3", "4"]


def test_changed_code_and_foreign_files_are_told(tmp_path: Path) -> None:
    program = tmp_path / "own.py"
    program.write_text("def f(x): return x + '1'\n")
    arguments = (f"{program}:f", "a", "--plain", "--journal", str(tmp_path / "j"))
    assert through_map(*arguments).stdout == '"a1"\n'
    program.write_text("def f(x): return x + '22'\n")
    done = through_map(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the code of own:f is not what it was" in done.stderr
    assert through_map(*arguments, "--changed=again").stdout == '"a22"\n'
    done = through_map(f"{program}:f", "a", "--journal", str(program))
    assert done.returncode == 2
    assert "is no journal of procession's" in done.stderr
