"""From cells to figures: medians with their spread, ratios to ourselves, budgets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contract import Status, Unit
from benchmarks.runner import Cell
from benchmarks.suite import OURSELVES, Budget, Ceiling


@dataclass(frozen=True)
class Spread:
    """A median with the least and the greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None for no values at all."""
        found = list(values)
        return cls(median(found), min(found), max(found)) if found else None

    def shown_in(self, unit: Unit) -> Spread:
        """Seconds in another unit; the least rate is that of the greatest time."""
        low, high = sorted((unit.of(self.low), unit.of(self.high)))
        return Spread(unit.of(self.median), low, high)


@dataclass(frozen=True)
class Row:
    """What one rival did in one case over all rounds.

    Attributes:
        seconds: per item; None if it was never measured.
        ratio: its seconds by ours, so above 1 we are faster: the ratio of the medians, and the
            least and greatest ratio within one round. None without both figures.
        n: the least and the greatest number of items that were measured.
        rounds: in how many rounds it was measured.
        remarks: what else there is to say, e.g. why it was not measured.
    """

    case: str
    rival: str
    title: str
    seconds: Spread | None
    ratio: Spread | None
    n: tuple[int, int] | None
    rounds: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether a budget holds; `measured` is None if that is not known."""

    budget: Budget | Ceiling
    measured: float | None

    @property
    def figure(self) -> float | None:
        """What was measured, in the budget's unit."""
        return None if self.measured is None else self.budget.unit.of(self.measured)

    def __str__(self) -> str:
        if self.measured is None:
            return "not measured"
        return "holds" if self.budget.holds(self.measured) else "falls short"


def rows(cells: Sequence[Cell], wanted: dict[str, int]) -> list[Row]:
    """A row for each case and rival that has cells, fastest first within a case, ourselves on top.

    Args:
        cells: from the runner.
        wanted: the full number of items for each case of interest, in the order to report.
    """
    found: list[Row] = []
    for case, n in wanted.items():
        of_case = [cell for cell in cells if cell.case == case]
        ours = _seconds(of_case, OURSELVES)
        names = dict.fromkeys(cell.rival for cell in of_case)
        part = [_row(case, name, of_case, ours, n) for name in names]
        found += sorted(part, key=_place)
    return found


def _place(row: Row) -> tuple[bool, bool, float, str]:
    speed = row.seconds.median if row.seconds else 0.0
    return row.rival != OURSELVES, row.seconds is None, speed, row.rival


def _seconds(cells: Iterable[Cell], rival: str) -> dict[int, float]:
    """The figures of one case and rival, by round."""
    return {
        cell.round: cell.outcome.seconds
        for cell in cells
        if cell.rival == rival
        and cell.outcome.status is Status.MEASURED
        and cell.outcome.seconds is not None
    }


def _row(case: str, rival: str, cells: Sequence[Cell], ours: dict[int, float], n: int) -> Row:
    outcomes = [cell.outcome for cell in cells if cell.rival == rival]
    measured = [outcome for outcome in outcomes if outcome.status is Status.MEASURED]
    sizes = [outcome.n for outcome in measured]
    remarks = [f"n reduced to {min(sizes):,}"] if sizes and min(sizes) < n else []
    remarks += [
        ": ".join(filter(None, [outcome.status, outcome.reason]))
        for outcome in outcomes
        if outcome.status is not Status.MEASURED
    ]
    theirs = _seconds(cells, rival)
    return Row(
        case,
        rival,
        next((outcome.title for outcome in outcomes if outcome.title), rival),
        Spread.of(theirs.values()),
        ratio(theirs, ours),
        (min(sizes), max(sizes)) if sizes else None,
        len(measured),
        tuple(dict.fromkeys(remarks)),
    )


def ratio(theirs: dict[int, float], ours: dict[int, float]) -> Spread | None:
    """The ratio of the medians; its spread is that of the rounds in which both were measured."""
    if not theirs or not ours:
        return None
    middle = median(theirs.values()) / median(ours.values())
    each = [theirs[number] / ours[number] for number in theirs.keys() & ours.keys()] or [middle]
    return Spread(middle, min(each), max(each))


def verdicts(found: Iterable[Row], budgets: Iterable[Budget | Ceiling]) -> list[Verdict]:
    """Each budget beside what was measured."""
    medians = {(row.case, row.rival): row.seconds.median for row in found if row.seconds}

    def measured(budget: Budget | Ceiling) -> float | None:
        ours = medians.get((budget.case, budget.whose))
        if ours is None or isinstance(budget, Ceiling):
            return ours
        theirs = medians.get((budget.case, budget.rival))
        return None if theirs is None else theirs / ours

    return [Verdict(budget, measured(budget)) for budget in budgets]


def defeats(found: Iterable[Row], beside: Collection[str] = ()) -> list[Row]:
    """Where a rival is faster than we are; those `beside` us are no rivals."""
    others = [row for row in found if row.rival != OURSELVES and row.rival not in beside]
    return [row for row in others if row.ratio and row.ratio.median < 1]
