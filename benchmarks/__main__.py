"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.contract import Status
from benchmarks.report import Report, digits
from benchmarks.runner import Cell, Settings, run
from benchmarks.suite import Suite, load_suite
from benchmarks.summary import summary

QUICK = {"rounds": 1, "scale": 0.05, "budget": 0.1}
FULL = {"rounds": 5, "scale": 1.0, "budget": 1.0}
"""The budget is a share of what the suite gives one measurement."""


@dataclass(frozen=True)
class Wishes:
    """What else was asked for on the command line.

    Attributes:
        json: where to write all figures.
        short: whether one table and the budgets are enough.
    """

    json: Path | None
    short: bool


def parse(arguments: Sequence[str] | None, suite: Suite) -> tuple[Settings, Wishes]:
    """The settings of a run of the suite, and how to report it."""
    program = "" if suite.name == "pools" else f".{suite.name}"
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks{program}",
        description=f"Procession beside its rivals, {suite.title}: tables on stdout, progress on "
        "stderr.",
    )
    known = suite.names()
    cases = list(suite.cases)
    parser.add_argument("--rounds", type=positive, help="how often each cell is run (5)")
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases, metavar="CASE")
    parser.add_argument(
        "--rivals",
        nargs="+",
        default=known,
        metavar="RIVAL",
        help=f"a file in {suite.rivals.replace('.', '/')}, or the dotted name of a module of "
        "your own",
    )
    parser.set_defaults(workers=2)
    if suite.workers:
        parser.add_argument("--workers", type=positive, help="for each rival (2)")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one cell (60)")
    parser.add_argument("--quick", action="store_true", help="small and rough, to see that it runs")
    parser.add_argument("--short", action="store_true", help="one table and the budgets, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--list", action="store_true", help="name the cases and rivals, and end")
    given = parser.parse_args(arguments)
    if given.list:
        print("cases: ", *cases)
        print("rivals:", *known)
        parser.exit()
    for name in given.rivals:
        if "." not in name and name not in known:
            parser.error(f"no rival {name!r}; there are {', '.join(known)}")
    size = QUICK if given.quick else FULL
    settings = Settings(
        rivals=list(dict.fromkeys(given.rivals)),
        cases=list(dict.fromkeys(given.cases)),
        rounds=given.rounds or int(size["rounds"]),
        workers=given.workers,
        scale=size["scale"],
        budget=size["budget"] * suite.seconds,
        limit=given.limit,
        suite=suite.name,
    )
    return settings, Wishes(given.json, given.short)


def positive(text: str) -> int:
    """A number of the command line that has to be at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def progress(suite: Suite, cell: Cell) -> None:
    """One line for each cell."""
    outcome = cell.outcome
    if outcome.status is Status.MEASURED and outcome.seconds is not None:
        unit = suite.cases[cell.case].unit
        told = f"{digits(unit.of(outcome.seconds))} {unit.name}"
    else:
        told = ": ".join(filter(None, [outcome.status, outcome.reason]))
    print(f"round {cell.round}  {cell.case:19}  {cell.rival:21}  {told}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None, name: str = "pools") -> int:
    """Run the suite of that name, and report. 1 if nothing at all could be measured."""
    suite = load_suite(name)
    settings, wishes = parse(arguments, suite)
    about = machine.describe()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = Report(started, about, settings, run(settings, partial(progress, suite)))
    print(summary(report) if wishes.short else report.markdown(), end="")
    if wishes.json is not None:
        wishes.json.write_text(json.dumps(report.json(), indent=1) + "\n")
    return 0 if any(row.seconds for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
