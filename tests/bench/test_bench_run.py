"""The benchmarks from end to end, with sizes so small that the figures mean nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.__main__ import main, parse
from benchmarks.cases import CASES
from benchmarks.contract import Outcome, Status
from benchmarks.report import Report
from benchmarks.runner import Cell, Settings, rotated, run, run_cell
from benchmarks.suite import OURSELVES, load_suite

TINY = {"scale": 0.0002, "budget": 0.01, "rounds": 1}
HERE = __package__


def settings(*rivals: str, cases: tuple[str, ...] = ("round_trip",), **others: float) -> Settings:
    sizes = {**TINY, **others}
    return Settings(
        rivals,
        cases,
        rounds=int(sizes["rounds"]),
        scale=sizes["scale"],
        budget=sizes["budget"],
        limit=sizes.get("limit", 50.0),
    )


def reported(cells: list[Cell], of: Settings) -> Report:
    return Report("2026-01-01T00:00:00+00:00", {"cpu": "none"}, of, cells)


@pytest.mark.parametrize("rival", ["stdlib_fork", "process_pool_executor", OURSELVES])
def test_every_case_is_measured(rival: str) -> None:
    if rival == OURSELVES:
        pytest.importorskip("procession.pool")
    cells = run(settings(rival, cases=tuple(CASES)))
    assert [cell.case for cell in cells] == list(CASES)
    for cell in cells:
        assert cell.outcome.status is Status.MEASURED, cell
        assert cell.outcome.seconds is not None
        assert cell.outcome.seconds > 0
        assert cell.outcome.n >= 1


def test_the_floor_goes_there_and_back() -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    cells = run(settings("futex", cases=("round_trip", "round_trip_idle", "map")))
    assert [cell.outcome.status for cell in cells] == [
        Status.MEASURED,
        Status.MEASURED,
        Status.NOT_OFFERED,
    ]


def test_the_command_line_writes_tables_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.QUICK", TINY)
    path = tmp_path / "figures.json"
    chosen = ["--cases", "submits", "--rivals", "stdlib_fork", f"{HERE}.rival_not_installed"]
    assert main(["--quick", "--rounds", "2", *chosen, "--json", str(path)]) == 0
    printed, progress = capsys.readouterr()
    assert "## submits: single submits" in printed
    assert "| stdlib_fork" in printed
    assert f"- skipped: {HERE}.rival_not_installed (No module named" in printed
    assert "not measured" in printed  # the budgets, without ourselves
    assert progress.count("round 2") == 1  # what is not installed is not tried again
    told = json.loads(path.read_text())
    assert [row["rounds"] for row in told["rows"]] == [2]
    assert len(told["cells"]) == 3
    assert {"commit", "python", "kernel", "cpu", "cores"} <= told["machine"].keys()
    assert set(told["versions"]) == {"stdlib_fork"}


def test_nothing_measured_is_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--rounds", "1", "--cases", "map", "--rivals", f"{HERE}.rival_not_installed"]
    assert main(arguments) == 1
    assert "Nothing was measured beside procession." in capsys.readouterr().out


def test_a_rival_that_hangs_is_ended_with_its_workers() -> None:
    # That nobody stays behind is seen to by the leak check.
    chosen = settings(f"{HERE}.rival_that_hangs", rounds=2, limit=1.0)
    cells = run(chosen)
    assert [cell.outcome.status for cell in cells] == [Status.HUNG]  # once is enough
    assert "no result within 1 s; killed" in reported(cells, chosen).markdown()


def test_a_rival_whose_process_does_not_end_has_failed() -> None:
    order = settings().order(f"{HERE}.rival_that_stays", "round_trip")
    outcome = run_cell(order, limit=1.5)
    assert outcome.status is Status.HUNG
    assert outcome.reason == "its workers did not end within 1.5 s; killed"


def test_wrong_results_are_no_measurement_and_what_is_missing_is_not_offered() -> None:
    chosen = settings(f"{HERE}.rival_that_cheats", cases=("round_trip", "imap"))
    first, second = (cell.outcome for cell in run(chosen))
    assert (first.status, first.reason) == (Status.FAILED, "ValueError: noop(0) gave -1")
    assert second.status is Status.NOT_OFFERED


def test_a_cell_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    outcome = run_cell(settings().order("stdlib_fork", "map"), limit=50.0)
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith("exit code 1: ")


def test_each_round_begins_with_another_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rotated("abc", 4) == ["b", "c", "a"]
    seen: list[tuple[int, str, str]] = []
    monkeypatch.setattr("benchmarks.runner.run_cell", lambda order, limit: Outcome(Status.FAILED))
    run(
        settings("x", "y", cases=("map", "imap"), rounds=2),
        lambda cell: seen.append((cell.round, cell.case, cell.rival)),
    )
    first = [(1, "map", "x"), (1, "map", "y"), (1, "imap", "x"), (1, "imap", "y")]
    second = [(2, "map", "y"), (2, "map", "x"), (2, "imap", "y"), (2, "imap", "x")]
    assert seen == first + second


def test_all_rivals_have_a_file_and_we_come_first() -> None:
    suite = load_suite("pools")
    found = suite.names()
    assert found[0] == OURSELVES
    assert {"stdlib_fork", "stdlib_spawn", "stdlib_forkserver", "loky", "mpire"} <= set(found)
    chosen, _ = parse([], suite)
    assert list(chosen.rivals) == found


def test_an_unknown_rival_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(["--rivals", "nonesuch"], load_suite("pools"))
    assert "no rival 'nonesuch'; there are procession, " in capsys.readouterr().err
