"""What was found, as Markdown for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.contract import Status
from benchmarks.figures import Spread
from benchmarks.incidents.contract import FIGURES, LIMITS, TITLES, Finding, Limit, Order
from benchmarks.incidents.subjects import OUR_OWN, SUBJECTS
from benchmarks.report import digits, table


@dataclass(frozen=True)
class Found:
    """A cell: what was asked, and what was found."""

    order: Order
    finding: Finding

    @property
    def subject(self) -> str:
        """For people."""
        order = self.order
        title = SUBJECTS[order.subject].title
        return title if order.method in title.lower() else f"{title} ({order.method})"

    def spread(self, figure: str) -> Spread | None:
        """Of one figure, in its own column's unit; None if it was not found."""
        factor = FIGURES[self.order.incident][figure].factor
        return Spread.of(factor * each for each in self.finding.figures.get(figure, ()))

    @property
    def count(self) -> int:
        """How many incidents counted."""
        return max(map(len, self.finding.figures.values()), default=0)

    @property
    def remarks(self) -> str:
        """Why there are no figures, or fewer than wanted."""
        order, finding = self.order, self.finding
        if finding.status is not Status.MEASURED:
            return ": ".join(filter(None, [finding.status, finding.reason]))
        remarks = []
        if order.incident == "kill" and SUBJECTS[order.subject].breaks:
            remarks.append("broken: a new one was made")
        if order.incident != "idle" and self.count < order.count:
            remarks.append(f"no more than {self.count} in {order.seconds:g} s")
        return "; ".join(remarks)


@dataclass(frozen=True)
class Verdict:
    """A limit, and what was found of it; None if nothing was."""

    limit: Limit
    subject: str
    measured: float | None

    def __str__(self) -> str:
        if self.measured is None:
            return "not measured"
        return "holds" if self.measured <= self.limit.most else "falls short"


def verdicts(found: Sequence[Found]) -> list[Verdict]:
    """For each limit and each way of our own that was looked at."""
    return [
        Verdict(limit, each.subject, spread.median if spread else None)
        for limit in LIMITS
        for each in found
        if each.order.incident == limit.incident and each.order.subject in OUR_OWN
        for spread in [each.spread(limit.figure)]
    ]


def markdown(found: Sequence[Found], machine: dict[str, str], short: bool) -> str:
    """The report; if `short`, one table of medians and the limits."""
    lines = _short(found) if short else _long(found, machine)
    return "\n".join(lines) + "\n"


def _incidents(found: Sequence[Found]) -> list[str]:
    return [name for name in FIGURES if any(each.order.incident == name for each in found)]


def _long(found: Sequence[Found], machine: dict[str, str]) -> Iterator[str]:
    yield "# Procession and its rivals: incidents"
    yield ""
    yield "Figures are medians (least–greatest) over all incidents of one process."
    for name in _incidents(found):
        figures = FIGURES[name]
        yield from ("", f"## {name}: {TITLES[name]}", "")
        yield from table(
            ["subject", *(figure.head for figure in figures.values()), "times", "remarks"],
            "<" + "r" * (len(figures) + 1),
            [
                [
                    each.subject,
                    *(shown(each.spread(figure)) for figure in figures),
                    str(each.count),
                    each.remarks.replace("|", "/"),
                ]
                for each in found
                if each.order.incident == name
            ],
        )
    yield from ("", "## Budgets", "")
    yield from _budgets(found)
    yield from ("", "## Measured with", "")
    versions = {SUBJECTS[e.order.subject].title: e.finding.version for e in found}
    yield from (f"- {name}: {version}" for name, version in versions.items() if version)
    yield from (f"- {what}: {value}" for what, value in machine.items())


def _short(found: Sequence[Found]) -> Iterator[str]:
    columns = [(name, figure) for name in _incidents(found) for figure in FIGURES[name]]
    heads = [f"{name}: {figure}, {FIGURES[name][figure].unit}" for name, figure in columns]
    lines: dict[str, dict[tuple[str, str], str]] = {}
    for each in found:
        for figure in FIGURES[each.order.incident]:
            spread = each.spread(figure)
            word = "never" if each.finding.status is Status.HUNG else "–"
            text = plain(spread.median) if spread else word
            lines.setdefault(each.subject, {})[each.order.incident, figure] = text
    yield from table(
        ["medians", *heads],
        "<" + "r" * len(heads),
        [[name, *(cells.get(column, "–") for column in columns)] for name, cells in lines.items()],
    )
    yield ""
    yield from _budgets(found)


def _budgets(found: Sequence[Found]) -> Iterator[str]:
    yield from table(
        ["budget", "of", "at most", "measured", "verdict"],
        "<<rr",
        [
            [
                f"{each.limit.incident}: {each.limit.figure}",
                each.subject,
                f"{each.limit.most:g} {FIGURES[each.limit.incident][each.limit.figure].unit}",
                "–" if each.measured is None else plain(each.measured),
                str(each),
            ]
            for each in verdicts(found)
        ],
    )


def plain(number: float) -> str:
    """As ``digits``, but a hundredth is as exact as it gets: 0.00, 0.07, 4.12, 10,700."""
    return digits(number) if abs(number) >= 1 else f"{number:.2f}"


def shown(spread: Spread | None) -> str:
    """``"4.10 (3.90–5.20)"``; of a single value just that."""
    if spread is None:
        return "–"
    if spread.low == spread.high:
        return plain(spread.median)
    return f"{plain(spread.median)} ({plain(spread.low)}–{plain(spread.high)})"


def as_json(found: Sequence[Found], machine: dict[str, str]) -> dict[str, Any]:
    """Everything, each single incident too. Seconds throughout."""
    return {
        "format": 1,
        "machine": machine,
        "cells": [
            {
                **asdict(each.order),
                **asdict(each.finding),
                "medians": {name: median(values) for name, values in each.finding.figures.items()},
            }
            for each in found
        ],
        "budgets": [
            {
                **asdict(each.limit),
                "of": each.subject,
                "measured": each.measured,
                "verdict": str(each),
            }
            for each in verdicts(found)
        ],
    }
