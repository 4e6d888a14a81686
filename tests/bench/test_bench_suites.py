"""The suites of queues and of synchronization, with sizes so small that no figure means much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import procession
from benchmarks.__main__ import main
from benchmarks.arrays.carrier import ArrayRival
from benchmarks.contract import Outcome, Status
from benchmarks.queues import payloads
from benchmarks.report import Report
from benchmarks.runner import ROOT, Cell, Settings, run
from benchmarks.suite import OURSELVES, load_suite
from benchmarks.summary import summary
from benchmarks.sync import alone
from benchmarks.sync.together import Arrangement, Meeting

HERE = __package__


def settings(suite: str, *rivals: str, cases: tuple[str, ...] = ()) -> Settings:
    return Settings(
        rivals,
        cases or tuple(load_suite(suite).cases),
        rounds=1,
        scale=0.001,
        budget=0.01,
        limit=50.0,
        suite=suite,
    )


def measured(cell: Cell) -> bool:
    return cell.outcome.status is Status.MEASURED


@pytest.mark.parametrize(
    "rival", [OURSELVES, "procession_simple", "stdlib", "stdlib_joinable", "stdlib_simple"]
)
def test_every_queue_carries_every_case(rival: str) -> None:
    cells = run(settings("queues", rival))
    assert [cell.case for cell in cells] == list(load_suite("queues").cases)
    assert all(map(measured, cells)), cells


def test_our_calls_for_many_are_measured_where_we_have_them() -> None:
    cells = run(settings("queues", "procession_many"))
    assert {cell.outcome.status for cell in cells} <= {Status.MEASURED, Status.NOT_OFFERED}, cells


def test_a_pipe_serves_one_pair_only() -> None:
    cells = run(settings("queues", "stdlib_pipe"))
    assert {cell.case: measured(cell) for cell in cells} == {
        "ints_1_to_1": True,
        "ints_2_to_2": False,
        "blocks_1_to_1": True,
        "blocks_2_to_2": False,
    }
    assert {cell.outcome.status for cell in cells} == {Status.MEASURED, Status.NOT_OFFERED}


def test_what_is_lost_or_doubled_is_noticed() -> None:
    (cell,) = run(settings("queues", f"{HERE}.rival_that_loses", cases=("ints_1_to_1",)))
    assert cell.outcome.status is Status.FAILED
    assert cell.outcome.reason.startswith("ValueError: sent messages that add up to 190, received")


def test_producers_send_what_can_be_told_apart() -> None:
    assert [*payloads.ints(0, 3), *payloads.ints(1, 3)] == [0, 1, 2, 3, 4, 5]
    first, second = (payloads.lengths(iter(payloads.blocks(number, 2))) for number in (0, 1))
    assert (first, second) == (2 * 65536, 2 * 65537)


@pytest.mark.parametrize("rival", [OURSELVES, "stdlib", "threading"])
def test_every_case_of_synchronization_is_measured(rival: str) -> None:
    cells = run(settings("sync", rival))
    assert [cell.case for cell in cells] == list(load_suite("sync").cases)
    assert all(map(measured, cells)), cells


class Unsettled(SimpleNamespace):
    """A rival of synchronization in this very process, which leaves its garbage collection on."""

    meeting: Any = None
    forks = False


def test_partners_that_were_not_let_in_one_at_a_time_are_no_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = memoryview(bytearray(8)).cast("q")

    def adds(n: int) -> int:
        number[0] += n
        return n

    def adds_one_less(n: int) -> int:
        number[0] += n - 1
        return n

    class Crew:
        def __init__(self, start: object, parts: tuple[Any, Any], forks: bool) -> None:
            self.parts = parts

        def run(self, n: int) -> SimpleNamespace:
            return SimpleNamespace(seconds=12.0, tallies=[part(n) for part in self.parts])

    monkeypatch.setattr("benchmarks.sync.together.Crew", Crew)
    for shared in (False, True):
        meeting = Meeting(lambda kit: Arrangement((adds, adds), number), shared)
        assert meeting.run(Unsettled(kit=None, start=None), 6) == 2.0  # type: ignore[arg-type]
    meeting = Meeting(lambda kit: Arrangement((adds, adds_one_less), number))
    with pytest.raises(ValueError, match="12 were added, 11 arrived: not one at a time"):
        meeting.run(Unsettled(kit=None, start=None), 6)  # type: ignore[arg-type]


def test_a_value_that_forgets_is_no_measurement() -> None:
    class Forgetful:
        value = property(lambda self: 7, lambda self, value: None)

    kit = SimpleNamespace(RawValue=lambda code, value: Forgetful())
    with pytest.raises(ValueError, match="20 times one were added, and there are 7"):
        alone.raw_value_add(Unsettled(kit=kit), 5)  # type: ignore[arg-type]


def test_the_figure_of_one_process_is_the_median_of_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([tick for number in range(20) for tick in (0.0, 100.0 if number < 9 else 10.0)])
    monkeypatch.setattr("benchmarks.sync.alone.perf_counter", lambda: next(ticks))
    lock = SimpleNamespace(acquire=bool, release=bool)
    kit = SimpleNamespace(Lock=lambda: lock)
    assert alone.lock(Unsettled(kit=kit), 100) == 2.0  # type: ignore[arg-type]


@pytest.mark.parametrize("rival", [OURSELVES, "memcpy", "stdlib_inherited"])
def test_arrays_are_measured_in_every_case_that_a_rival_offers(rival: str) -> None:
    cases = load_suite("arrays").cases
    shared = {name for name in cases if name.startswith("shared")}
    if rival == "memcpy":
        offered = {name for name in cases if name.startswith(("in", "out"))}
    elif rival == "stdlib_inherited":
        offered = shared
    else:
        offered = set(cases) - (set() if hasattr(procession, "share") else shared)
    cells = run(settings("arrays", rival))
    assert [cell.case for cell in cells] == list(cases)
    assert {cell.case for cell in cells if measured(cell)} == offered, cells
    assert {cell.outcome.status for cell in cells} <= {Status.MEASURED, Status.NOT_OFFERED}


class Carrier(ArrayRival):
    """A rival in this very process, whose tasks see an array that is not the one they were sent."""

    only_shared = False

    @classmethod
    def open(cls, workers: int) -> Carrier:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [function(items[0]) for _ in items]

    def call_each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        return [function(array * 0, *others) for array, *others in arguments]


@pytest.mark.parametrize("case", ["in_64k", "out_64k", "argument"])
def test_wrong_arrays_are_no_measurement(case: str) -> None:
    with pytest.raises(ValueError, match="wrong result"):
        load_suite("arrays").cases[case].run(Carrier(), 3)


def test_a_time_is_held_to_in_its_own_unit() -> None:
    text = summary(report("arrays", {("shared_sum", "procession"): 70e-3 / 64}))
    assert "| ≤ 60 ms for 64 tasks | 70.0 ms for 64 tasks | falls short |" in text


@pytest.mark.parametrize("suite", ["arrays", "queues", "sync"])
def test_the_suites_have_a_command_line(suite: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{suite}", "--list"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert " ".join(load_suite(suite).cases) in done.stdout
    assert "rivals: procession " in done.stdout


def test_a_run_reports_rates_budgets_and_what_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.QUICK", {"rounds": 1, "scale": 0.001, "budget": 0.01})
    path = tmp_path / "figures.json"
    chosen = ["--quick", "--cases", "ints_1_to_1", "--rivals", "stdlib_simple", "--json", str(path)]
    assert main(chosen, "queues") == 0
    printed, progress = capsys.readouterr()
    assert printed.startswith("# Procession and its rivals: queues\n")
    assert "workers" not in printed
    assert "| messages per second |" in printed
    assert progress.rstrip().endswith("messages per second")
    told = json.loads(path.read_text())
    assert told["settings"]["suite"] == "queues"
    assert {budget["verdict"] for budget in told["budgets"]} == {"not measured"}


def report(suite: str, seconds: dict[tuple[str, str], float]) -> Report:
    cells = [
        Cell(1, case, rival, Outcome(Status.MEASURED, rival.title(), "1", each, 9))
        for (case, rival), each in seconds.items()
    ]
    cases, rivals = (list(dict.fromkeys(column)) for column in zip(*seconds, strict=True))
    return Report("now", {}, Settings(rivals, cases, suite=suite), cells)


def test_the_summary_has_one_table_and_the_budgets() -> None:
    text = summary(
        report("queues", {("ints_1_to_1", "procession"): 1e-6, ("ints_1_to_1", "stdlib"): 4e-6})
    )
    table, budgets = text.split("\n\n")
    head, _, ours, theirs = table.splitlines()
    assert head == "| messages per second | small integers, 1 to 1 |"
    assert ours == "| Procession          |              1,000,000 |"
    assert theirs == "| Stdlib              |                250,000 |"
    assert "| Procession | Stdlib        |  ≥ 3 × |   4.00 × | holds        |" in budgets
    assert "2 to 2" not in budgets


def test_a_summary_of_several_units_names_each() -> None:
    text = summary(report("sync", {("lock", "procession"): 5e-8, ("barrier", "procession"): 2e-5}))
    assert "| Lock, acquire and release, ns " in text
    assert "| Barrier of two, one wait, µs " in text


def test_other_ways_of_our_own_and_floors_are_no_losses() -> None:
    lost = report(
        "queues",
        {
            ("ints_1_to_1", "procession"): 2e-6,
            ("ints_1_to_1", "procession_many"): 1e-6,
            ("ints_1_to_1", "faster_fifo"): 1e-6,
        },
    ).markdown()
    assert "- ints_1_to_1: faster_fifo is faster (0.500 ×)" in lost
    assert "procession_many is faster" not in lost
