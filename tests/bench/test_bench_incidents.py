"""The incidents: what is timed, what is left out, and how it is told."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.contract import NotOffered, Status
from benchmarks.figures import Spread
from benchmarks.incidents import acts
from benchmarks.incidents.__main__ import main, orders, parse, run
from benchmarks.incidents.contract import FIGURES, LIMITS, TITLES, Finding, Order, Overdue
from benchmarks.incidents.idleness import Spent, cpu, everybody_else, wakeups
from benchmarks.incidents.report import Found, as_json, markdown, plain, shown, verdicts
from benchmarks.incidents.stage import Stage, announce, is_readable
from benchmarks.incidents.subjects import OUR_OWN, SUBJECTS
from benchmarks.runner import Ended, trouble


def order(incident: str, subject: str = "process_pool_executor", **others: Any) -> Order:
    fields = {"method": "fork", "workers": 2, "count": 1, "seconds": 20.0, **others}
    return Order(subject, incident=incident, **fields)


def found(asked: Order, **figures: list[float]) -> Found:
    return Found(asked, Finding(Status.MEASURED, "1", figures))


class Clock:
    """Stands for the time; every wait is noted and takes as long as it says."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """All that is timed is timed by it; nobody is killed, and everybody is there after 7 s."""
    clock = Clock()

    def gather(subject: object, stage: object) -> float:
        clock.now += 7
        return clock.now

    for name, stand_in in {
        "perf_counter": clock,
        "sleep": clock.sleep,
        "gather": gather,
        "is_readable": lambda descriptor, timeout: not clock.sleep(2),  # type: ignore[func-returns-value]
    }.items():
        monkeypatch.setattr(acts, name, stand_in)
    monkeypatch.setattr("benchmarks.incidents.acts.os.kill", lambda pid, number: None)
    return clock


class Scripted:
    """A subject on a clock: a failure is known after so many seconds, one by one."""

    def __init__(self, clock: Clock, failures: Iterator[float]) -> None:
        self.clock = clock
        self.failures = failures

    def submit(self, function: object, *arguments: object) -> None: ...

    def limited(self, timeout: float, function: object, *arguments: object) -> None: ...

    def failure(self, task: object) -> Exception:
        self.clock.now += next(self.failures)
        return ValueError()

    def cancel(self, task: object) -> bool:
        self.clock.now += 0.5
        return True

    def renew(self) -> None:
        self.clock.now += 3


def on_stage(clock: Clock) -> Any:
    return SimpleNamespace(path="p", releases="r", next=lambda: (os.getpid(), clock.now))


def test_a_death_is_timed_from_the_signal_and_the_first_ones_do_not_count(clock: Clock) -> None:
    subject: Any = Scripted(clock, iter([50, 60, 1, 2, 3]))
    figures = acts.kill(subject, on_stage(clock), order("kill", count=3, seconds=1e9))
    assert figures == {"reported": [1, 2, 3], "ready": [11, 12, 13]}


def test_a_time_out_is_timed_from_its_deadline(clock: Clock) -> None:
    subject: Any = Scripted(clock, repeat(5.0))
    figures = acts.timeout(subject, on_stage(clock), order("timeout"))
    assert figures["reported"] == [pytest.approx(5 - acts.TIMEOUT)]
    assert figures["ready"] == [pytest.approx(12 - acts.TIMEOUT)]


def test_a_cancel_is_timed_until_it_returns_and_until_its_process_is_gone(clock: Clock) -> None:
    subject: Any = Scripted(clock, repeat(0.0))
    figures = acts.cancel(subject, on_stage(clock), order("cancel"))
    assert figures == {"returned": [0.5], "gone": [2.5], "ready": [9.5]}


def test_who_does_not_cancel_what_runs_does_not_offer_it(clock: Clock) -> None:
    subject: Any = Scripted(clock, repeat(0.0))
    subject.cancel = lambda task: False
    with pytest.raises(NotOffered):
        acts.cancel(subject, on_stage(clock), order("cancel"))


def test_a_task_that_never_ends_can_not_return(clock: Clock) -> None:
    subject: Any = Scripted(clock, repeat(0.0))
    subject.failure = lambda task: None
    with pytest.raises(RuntimeError, match="a task that never ends has returned"):
        acts.kill(subject, on_stage(clock), order("kill"))


def test_no_incident_is_begun_when_time_is_up_but_one_there_is(clock: Clock) -> None:
    subject: Any = Scripted(clock, repeat(10.0))
    figures = acts.kill(subject, on_stage(clock), order("kill", count=30, seconds=1.0))
    assert figures["reported"] == [10.0]


def test_who_begins_is_known_by_its_number(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    announce(stage.path)
    pid, when = stage.next()
    assert pid == os.getpid()
    assert when > 0
    with pytest.raises(Overdue, match="no task began within 0 s"):
        stage.next(patience=0)
    stage.release(2)
    stage.close()


def test_cpu_time_is_that_of_the_process_clock() -> None:
    before = process_time()
    between = cpu(os.getpid())
    assert before <= between <= process_time()


def test_who_waits_wakes_up() -> None:
    before = wakeups(os.getpid())
    select.poll().poll(1)
    assert wakeups(os.getpid()) > before


def test_others_of_the_session_are_found_and_oneself_is_not() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)
        os._exit(0)
    pidfd = os.pidfd_open(child)
    others = everybody_else()
    os.write(writer, b"x")
    assert is_readable(pidfd, 60)
    assert child in others
    assert os.getpid() not in others
    assert child not in everybody_else()  # it has ended, though nobody has waited for it
    os.waitpid(child, 0)
    for descriptor in (reader, writer, pidfd):
        os.close(descriptor)


def test_what_is_spent_since_then() -> None:
    before = Spent({1: 1.0, 2: 5.0}, {1: 10, 2: 20})
    after = Spent({1: 1.5, 2: 5.0, 3: 0.25}, {1: 11, 2: 20, 3: 4})
    assert after.since(before) == Spent({1: 0.5, 2: 0.0, 3: 0.25}, {1: 1, 2: 0, 3: 4})
    with pytest.raises(ValueError, match="1 processes ended though nothing happened"):
        before.since(after)


@pytest.mark.parametrize("incident", [*FIGURES])
def test_every_incident_is_brought_about(incident: str) -> None:
    seconds = 0.01 if incident == "idle" else 20.0
    finding = run(order(incident, seconds=seconds))
    if incident in ("timeout", "cancel"):
        assert finding.status is Status.NOT_OFFERED, finding
    else:
        assert finding.status is Status.MEASURED, finding
        assert finding.figures.keys() == FIGURES[incident].keys()
        assert all(values and min(values) >= 0 for values in finding.figures.values())


@pytest.mark.parametrize(
    ("subject", "incident"),
    [
        ("procession", "kill"),
        ("procession_executor", "timeout"),
        ("procession", "cancel"),
        ("procession_executor", "idle"),
    ],
)
def test_ours_has_an_end_to_every_incident(subject: str, incident: str) -> None:
    pytest.importorskip("procession.pool")
    pytest.importorskip("procession.futures")
    finding = run(order(incident, subject, seconds=0.01 if incident == "idle" else 20.0))
    assert finding.status is Status.MEASURED, finding
    assert finding.figures.keys() == FIGURES[incident].keys()


def test_there_is_a_cell_for_each_method_of_each_subject() -> None:
    chosen = parse(["--incidents", "kill", "idle", "--subjects", "procession", "loky"])
    assert [
        (each.incident, each.subject, each.method, each.seconds) for each in orders(chosen)
    ] == [
        ("kill", "procession", "fork", 60.0),
        ("kill", "procession", "forkserver", 60.0),
        ("kill", "loky", "loky", 60.0),
        ("idle", "procession", "fork", 20.0),
        ("idle", "procession", "forkserver", 20.0),
        ("idle", "loky", "loky", 20.0),
    ]


def test_limits_are_about_figures_that_there_are() -> None:
    assert FIGURES.keys() == TITLES.keys() == acts.ACTS.keys()
    assert all(limit.figure in FIGURES[limit.incident] for limit in LIMITS)
    assert set(SUBJECTS) >= OUR_OWN


@pytest.mark.parametrize(("seconds", "verdict"), [(0.010, "holds"), (0.0101, "falls short")])
def test_a_limit_is_about_the_median_of_our_own(seconds: float, verdict: str) -> None:
    cells = [
        found(order("kill", "procession"), reported=[0.0, seconds, 9.0], ready=[]),
        found(order("kill", "pebble"), reported=[9.0], ready=[9.0]),
    ]
    assert [(each.limit.figure, each.subject, str(each)) for each in verdicts(cells)] == [
        ("reported", "procession.Pool (fork)", verdict),
        ("ready", "procession.Pool (fork)", "not measured"),
    ]


CELLS = [
    found(order("kill", "procession", count=3), reported=[0.001, 0.002, 0.009], ready=[0.004] * 3),
    found(order("kill", "loky", method="loky", count=3), reported=[0.1], ready=[12.0]),
    Found(order("kill", "stdlib"), Finding(Status.HUNG, "1", reason="no error within 15 s")),
    found(order("idle", "procession"), parent=[0.0142], others=[0.0], wakeups=[1.5]),
]


def test_the_report_has_a_table_for_each_incident() -> None:
    text = markdown(CELLS, {"kernel": "Linux"}, short=False)
    assert "## kill: a worker is killed by SIGKILL while it runs a task" in text
    lines = [[word.strip() for word in line.split("|")] for line in text.splitlines()]
    assert ["", "procession.Pool (fork)", "2.00 (1.00–9.00)", "4.00", "3", "", ""] in lines
    remarks = "broken: a new one was made; no more than 1 in 20 s"
    assert ["", "loky.ProcessPoolExecutor", "100", "12,000", "1", remarks, ""] in lines
    assert any("hung: no error within 15 s" in line for line in lines)
    assert ["", "procession.Pool (fork)", "14.2", "0.00", "1.50", "1", "", ""] in lines
    assert "- kernel: Linux" in text


def test_the_short_report_has_one_table_and_the_limits() -> None:
    text = markdown(CELLS, {}, short=True)
    medians, limits = text.split("\n\n")
    head, _, *lines = medians.splitlines()
    assert "| kill: reported, ms |" in head
    assert "| idle: parent, ms in 1,000 s |" in head
    assert [line.split("|")[2].strip() for line in lines] == ["2.00", "100", "never"]
    assert "| kill: reported | procession.Pool (fork) |" in limits


def test_single_incidents_are_in_the_json_in_seconds() -> None:
    told = json.loads(json.dumps(as_json(CELLS, {})))
    first = told["cells"][0]
    assert first["figures"]["reported"] == [0.001, 0.002, 0.009]
    assert first["medians"] == {"reported": 0.002, "ready": 0.004}
    assert told["budgets"][0]["verdict"] == "holds"


def test_small_figures_are_rounded_to_a_hundredth() -> None:
    assert [plain(number) for number in (0.0, 0.0712, 4.123, -0.004)] == [
        "0.00",
        "0.07",
        "4.12",
        "-0.00",
    ]
    assert shown(None) == "–"
    assert shown(Spread(0.5, 0.25, 1.0)) == "0.50 (0.25–1.00)"


def test_the_command_line_reports_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def stand_in(asked: Order) -> Finding:
        seen.append(asked)
        figures = {name: [0.002] for name in FIGURES[asked.incident]}
        return Finding(Status.MEASURED, "1", figures)

    monkeypatch.setattr("benchmarks.incidents.__main__.run", stand_in)
    path = tmp_path / "figures.json"
    assert main(["--count", "4", "--subjects", "pebble", "--json", str(path)]) == 0
    printed, progress = capsys.readouterr()
    assert printed.startswith("# Procession and its rivals: incidents\n")
    assert "reported 2.00, ready 2.00, no more than 1 in 60 s" in progress
    assert {asked.count for asked in seen} == {4}
    assert len(json.loads(path.read_text())["cells"]) == 8


def test_what_is_wrong_with_the_end_of_a_cell() -> None:
    assert trouble(Ended("{}", True, 0, []), 5) is None
    assert trouble(Ended(None, False, -9, []), 5) == (Status.HUNG, "no result within 5 s; killed")
    assert trouble(Ended("{}", True, 1, ["why"]), 5) == (Status.FAILED, "exit code 1: why")
