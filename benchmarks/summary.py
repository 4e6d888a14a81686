"""The run in one table, and the budgets: for the README, between its markers for figures."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.report import Report, measured, spread, table


def summary(report: Report) -> str:
    """Markdown: a line for each case or rival, whichever there are more of."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    suite, found = report.suite, report.rows
    shown = {(row.case, row.rival): row.seconds for row in found}
    titles = {row.rival: row.title for row in found}
    names = [name for name in report.settings.rivals if name in titles]
    cases = [name for name in report.settings.cases if any(row.case == name for row in found)]

    def cell(case: str, rival: str) -> str:
        seconds = shown.get((case, rival))
        return spread(seconds.shown_in(suite.cases[case].unit)) if seconds else "–"

    units = {suite.cases[name].unit.name for name in cases}
    corner = units.pop() if len(units) == 1 else ""
    works = {
        name: suite.cases[name].title + ("" if corner else f", {suite.cases[name].unit.name}")
        for name in cases
    }
    if len(names) > len(cases):
        heads = [corner, *works.values()]
        lines = [[titles[name], *(cell(case, name) for case in cases)] for name in names]
    else:
        heads = [corner, *(titles[name] for name in names)]
        lines = [[works[case], *(cell(case, name) for name in names)] for case in cases]
    yield from table(heads, "<" + "r" * (len(heads) - 1), lines)
    yield ""
    yield from table(
        ["budget", "of", "against", "wanted", "measured", "verdict"],
        "<<<rr",
        [
            [
                suite.cases[verdict.budget.case].title,
                titles.get(verdict.budget.whose, verdict.budget.whose),
                titles.get(verdict.budget.against, verdict.budget.against),
                verdict.budget.wanted,
                measured(verdict),
                str(verdict),
            ]
            for verdict in report.verdicts
            if verdict.budget.case in cases
        ],
    )
