"""The run as Markdown for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import figures
from benchmarks.contract import Status, Unit
from benchmarks.figures import Row, Spread, Verdict
from benchmarks.runner import Cell, Settings
from benchmarks.suite import OURSELVES, Suite, load_suite


@dataclass(frozen=True)
class Report:
    """A finished run.

    Attributes:
        started: when, ISO 8601 in UTC.
        machine: from ``benchmarks.machine.describe``.
    """

    started: str
    machine: dict[str, str]
    settings: Settings
    cells: Sequence[Cell]

    @property
    def suite(self) -> Suite:
        """What the run was about."""
        return load_suite(self.settings.suite)

    @property
    def rows(self) -> list[Row]:
        """A row for each case and rival."""
        wanted = {case: self.settings.order("", case).n for case in self.settings.cases}
        missing = self.missing
        return [row for row in figures.rows(self.cells, wanted) if row.rival not in missing]

    @property
    def verdicts(self) -> list[Verdict]:
        """Each budget of the suite beside what was measured."""
        return figures.verdicts(self.rows, self.suite.budgets)

    @property
    def missing(self) -> dict[str, str]:
        """Rivals that are not installed, and how that was noticed."""
        return {
            cell.rival: cell.outcome.reason
            for cell in self.cells
            if cell.outcome.status is Status.NOT_INSTALLED
        }

    @property
    def versions(self) -> dict[str, str]:
        """Of each rival that answered."""
        return {cell.rival: cell.outcome.version for cell in self.cells if cell.outcome.version}

    def markdown(self) -> str:
        """Tables, budgets, losing cases, versions and machine."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        found, suite = self.rows, self.suite
        workers = f" {self.settings.workers} workers," if suite.workers else ""
        yield f"# Procession and its rivals: {suite.title}"
        yield ""
        yield (
            f"{self.settings.rounds} interleaved rounds,{workers} one fresh process per cell. "
            "Figures are medians (least–greatest). The ratio is the rival's median time by that "
            f"of {OURSELVES} (least–greatest of the rounds): above 1, procession is faster."
        )
        for name in self.settings.cases:
            case = suite.cases[name]
            yield from ("", f"## {name}: {case.title}", "")
            yield from table(
                ["rival", case.unit.name, "ratio", "n", "rounds", "remarks"],
                "<rrrr",
                [_columns(row, case.unit) for row in found if row.case == name],
            )
        yield from ("", "## Budgets", "")
        yield from table(
            ["case", "of", "against", "wanted", "measured", "verdict"],
            "<<<rr",
            [
                [
                    verdict.budget.case,
                    verdict.budget.whose,
                    verdict.budget.against,
                    verdict.budget.wanted,
                    measured(verdict),
                    str(verdict),
                ]
                for verdict in self.verdicts
            ],
        )
        yield from ("", "## Lost", "")
        lost = [
            f"- {row.case}: {row.rival} is faster ({digits(row.ratio.median)} ×)"
            for row in figures.defeats(found, suite.beside)
            if row.ratio
        ]
        if not any(row.ratio for row in found):
            yield f"Nothing was measured beside {OURSELVES}."
        else:
            yield from lost or ["No rival was faster in any case measured."]
        yield from ("", "## Measured with", "")
        yield from (f"- skipped: {name} ({why})" for name, why in self.missing.items())
        yield from (f"- {name}: {version}" for name, version in sorted(self.versions.items()))
        yield from (f"- {what}: {value}" for what, value in self.machine.items())
        noise = self._noise()
        if noise:
            yield f"- a fixed loop before each cell: {spread(noise, 1e3)} ms (quiet: all alike)"
        yield f"- started: {self.started}"

    def _noise(self) -> Spread | None:
        return Spread.of(c.outcome.noise for c in self.cells if c.outcome.noise is not None)

    def json(self) -> dict[str, Any]:
        """Everything, the single cells too. Seconds throughout."""
        found = self.rows
        return {
            "format": 1,
            "started": self.started,
            "machine": self.machine,
            "settings": asdict(self.settings),
            "versions": self.versions,
            "skipped": self.missing,
            "rows": [asdict(row) for row in found],
            "budgets": [
                {**asdict(verdict.budget), "measured": verdict.measured, "verdict": str(verdict)}
                for verdict in self.verdicts
            ],
            "cells": [asdict(cell) for cell in self.cells],
        }


def _times(row: Row) -> str:
    if row.rival == OURSELVES:
        return ""
    return f"{spread(row.ratio)} ×" if row.ratio else "–"


def _columns(row: Row, unit: Unit) -> list[str]:
    n = "–"
    if row.n:
        n = f"{row.n[0]:,}" if row.n[0] == row.n[1] else f"{row.n[0]:,}–{row.n[1]:,}"
    return [
        row.rival,
        spread(row.seconds.shown_in(unit)) if row.seconds else "–",
        _times(row),
        n,
        str(row.rounds),
        "; ".join(row.remarks).replace("|", "/"),
    ]


def measured(verdict: Verdict) -> str:
    """What was measured for a budget."""
    figure = verdict.figure
    return "–" if figure is None else f"{digits(figure)} {verdict.budget.unit.name}"


def table(heads: list[str], aligned: str, lines: Iterable[list[str]]) -> Iterator[str]:
    """A Markdown table whose source is a table to the eye as well.

    Args:
        heads: the columns' names.
        aligned: for each column ``<``, or ``r`` for right; ``<`` where it is too short.
        lines: the cells.
    """
    right = [letter == "r" for letter in aligned.ljust(len(heads), "<")]
    table = [heads, *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, line in enumerate(table):
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        yield f"| {' | '.join(padded)} |"
        if number == 0:
            rules = [
                "-" * (width - to_right) + ":" * to_right
                for width, to_right in zip(widths, right, strict=True)
            ]
            yield f"| {' | '.join(rules)} |"


def spread(figure: Spread, unit: float = 1.0) -> str:
    """``"4.10 (3.90–5.20)"``; of a single value just that."""
    if figure.low == figure.high:
        return digits(figure.median * unit)
    middle, low, high = (digits(v * unit) for v in (figure.median, figure.low, figure.high))
    return f"{middle} ({low}–{high})"


def digits(number: float) -> str:
    """Three significant digits, no exponent: 0.0731, 4.12, 97.3, 10,700."""
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:#.3g}"
