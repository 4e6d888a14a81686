"""The arithmetic of the benchmarks, and how figures are printed."""

from __future__ import annotations

import pytest

from benchmarks.cell import affordable, round_down
from benchmarks.contract import MICROSECONDS, Case, NotOffered, Outcome, Rival, Status, Unit
from benchmarks.figures import Row, Spread, defeats, ratio, rows, verdicts
from benchmarks.report import Report, digits, spread
from benchmarks.runner import Cell, Settings
from benchmarks.suite import Budget, Ceiling, load_suite

SUITES = ("pools", "queues", "sync")


def measured(number: int, rival: str, seconds: float, *, case: str = "map", n: int = 9) -> Cell:
    return Cell(number, case, rival, Outcome(Status.MEASURED, rival.title(), "1", seconds, n))


CELLS = [
    measured(1, "slow", 6.0),
    measured(1, "procession", 2.0),
    measured(1, "quick", 1.0, n=5),
    measured(2, "slow", 4.0),
    measured(2, "procession", 1.0),
    measured(2, "quick", 3.0, n=9),
    Cell(1, "map", "broken", Outcome(Status.FAILED, "Broken", reason="it broke")),
    Cell(2, "map", "broken", Outcome(Status.FAILED, "Broken", reason="it broke")),
    measured(3, "procession", 4.0),
    Cell(3, "map", "quick", Outcome(Status.HUNG, "Quick", reason="no result")),
]


def by_name(found: list[Row]) -> dict[str, Row]:
    return {row.rival: row for row in found}


def test_median_least_and_greatest() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert Spread.of([]) is None


def test_rows_are_sorted_by_speed_with_ourselves_on_top_and_failures_last() -> None:
    found = rows(CELLS, {"map": 9})
    assert [row.rival for row in found] == ["procession", "quick", "slow", "broken"]


def test_ratios_are_those_of_the_medians_with_the_spread_of_the_rounds() -> None:
    found = by_name(rows(CELLS, {"map": 9}))
    assert found["procession"].seconds == Spread(2.0, 1.0, 4.0)
    assert found["slow"].ratio == Spread(2.5, 3.0, 4.0)  # medians 5 and 2; rounds 6/2 and 4/1
    assert found["quick"].ratio == Spread(1.0, 0.5, 3.0)
    assert found["broken"].ratio is None


def test_rounds_in_which_only_one_was_measured_give_no_spread() -> None:
    assert ratio({1: 6.0}, {2: 3.0}) == Spread(2.0, 2.0, 2.0)
    assert ratio({}, {1: 1.0}) is None


def test_what_went_wrong_is_remarked_once() -> None:
    found = by_name(rows(CELLS, {"map": 9}))
    assert found["broken"].remarks == ("failed: it broke",)
    assert found["quick"].remarks == ("n reduced to 5", "hung: no result")
    assert (found["quick"].n, found["quick"].rounds) == ((5, 9), 2)
    assert found["procession"].remarks == ()


def budget_rows(budgets: tuple[Budget | Ceiling, ...], times: float) -> list[Row]:
    own = dict.fromkeys((each.case, each.whose) for each in budgets if isinstance(each, Budget))
    cells = [measured(1, whose, 1.0, case=case) for case, whose in own]
    for each in budgets:
        if isinstance(each, Budget):
            cells.append(measured(1, each.rival, each.times * times, case=each.case))
        else:
            cells.append(measured(1, each.whose, each.most / times, case=each.case))
    return rows(cells, {budget.case: 9 for budget in budgets})


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize(("times", "verdict"), [(1.0, "holds"), (0.99, "falls short")])
def test_a_budget_holds_from_exactly_its_ratio(name: str, times: float, verdict: str) -> None:
    budgets = load_suite(name).budgets
    found = verdicts(budget_rows(budgets, times), budgets)
    assert [str(each) for each in found] == [verdict] * len(budgets)


@pytest.mark.parametrize("name", SUITES)
def test_budgets_are_about_cases_and_rivals_that_there_are(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert {budget.case for budget in suite.budgets} <= set(suite.cases)
    rivals = {budget.rival for budget in suite.budgets if isinstance(budget, Budget)}
    assert rivals <= set(suite.names()) - {"procession"}
    assert {budget.whose for budget in suite.budgets} <= {"procession", *suite.beside}
    assert suite.beside <= set(suite.names())


def test_a_budget_without_figures_is_not_measured() -> None:
    found = verdicts([], load_suite("pools").budgets)
    assert {str(verdict) for verdict in found} == {"not measured"}


def test_a_budget_of_another_way_of_our_own_is_about_that_one() -> None:
    cells = [measured(1, "procession", 1.0), measured(1, "other", 2.0), measured(1, "rival", 6.0)]
    found = verdicts(rows(cells, {"map": 9}), [Budget("map", "rival", 3, whose="other")])
    assert [(each.measured, str(each)) for each in found] == [(3.0, "holds")]


def test_losing_cases_are_named() -> None:
    cells = [measured(1, "procession", 2.0), measured(1, "quick", 1.0), measured(1, "slow", 3.0)]
    assert [row.rival for row in defeats(rows(cells, {"map": 9}))] == ["quick"]
    assert defeats(rows(cells, {"map": 9}), beside={"quick"}) == []
    report = Report("now", {}, Settings(["procession", "quick", "slow"], ["map"]), cells)
    assert "- map: quick is faster (0.500 ×)" in report.markdown()


def test_a_table_is_aligned() -> None:
    report = Report("now", {}, Settings(["slow", "procession"], ["map"]), CELLS)
    widths = {len(line) for line in report.markdown().splitlines()[4:12] if line.startswith("|")}
    assert len(widths) == 1


def test_a_rate_turns_the_spread_round() -> None:
    seconds = Spread(0.5, 0.25, 1.0)
    assert seconds.shown_in(MICROSECONDS) == Spread(0.5e6, 0.25e6, 1e6)
    assert seconds.shown_in(Unit("messages per second", rate=True)) == Spread(2.0, 1.0, 4.0)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.07312, "0.0731"),
        (4.1, "4.10"),
        (97.26, "97.3"),
        (99.96, "100"),
        (147.2, "147"),
        (10694.0, "10,700"),
    ],
)
def test_three_digits(number: float, text: str) -> None:
    assert digits(number) == text


def test_a_single_value_has_no_spread() -> None:
    assert spread(Spread(2.0, 2.0, 2.0), 10) == "20.0"
    assert spread(Spread(2.0, 1.0, 3.0)) == "2.00 (1.00–3.00)"


@pytest.mark.parametrize(
    ("number", "rounded"), [(7.9, 7), (99.9, 99), (129.0, 120), (45_678.0, 45_000)]
)
def test_reduced_sizes_have_two_digits(number: float, rounded: int) -> None:
    assert round_down(number) == rounded


class Clocked(Rival):
    """Takes a given time for each item, on a clock of its own."""

    title = "clocked"

    @classmethod
    def open(cls, workers: int) -> Rival:
        raise NotOffered

    def close(self) -> None:
        raise NotOffered


@pytest.mark.parametrize(
    ("each", "n", "expected"),
    [
        (1 / 1024, 1_000, 1_000),  # less than a second: affordable
        (1 / 64, 1_000, 190),  # 15 seconds: not with a budget of three
        (1.0, 1_000, 20),  # never less than the first pilot
        (1.0, 2, 2),
    ],
)
def test_items_are_reduced_to_fit_the_budget(
    each: float, n: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def work(rival: Rival, size: int) -> float:
        nonlocal now
        now += each * size
        return each

    monkeypatch.setattr("benchmarks.cell.perf_counter", lambda: now)
    assert affordable(Case("on a clock", n, work), Clocked(), n, 3.0) == expected
