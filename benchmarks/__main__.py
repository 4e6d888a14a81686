"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, rivals
from benchmarks.cases import CASES
from benchmarks.contract import Status
from benchmarks.report import Report, digits
from benchmarks.runner import Cell, Settings, run

QUICK = {"rounds": 1, "scale": 0.05, "budget": 0.3}
FULL = {"rounds": 5, "scale": 1.0, "budget": 3.0}


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Path | None]:
    """The settings, and where to write JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Procession beside its rivals: tables on stdout, progress on stderr.",
    )
    parser.add_argument("--rounds", type=_positive, help="how often each cell is run (5)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument(
        "--rivals",
        nargs="+",
        default=rivals.names(),
        metavar="RIVAL",
        help="a file in benchmarks/rivals, or the dotted name of a module of your own",
    )
    parser.add_argument("--workers", type=_positive, default=2, help="for each rival (2)")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one cell (60)")
    parser.add_argument("--quick", action="store_true", help="small and rough, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--list", action="store_true", help="name the cases and rivals, and end")
    given = parser.parse_args(arguments)
    if given.list:
        print("cases: ", *CASES)
        print("rivals:", *rivals.names())
        parser.exit()
    known = rivals.names()
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
        budget=size["budget"],
        limit=given.limit,
    )
    return settings, given.json


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def progress(cell: Cell) -> None:
    """One line for each cell."""
    outcome = cell.outcome
    if outcome.status is Status.MEASURED and outcome.seconds is not None:
        told = f"{digits(outcome.seconds * 1e6)} µs"
    else:
        told = ": ".join(filter(None, [outcome.status, outcome.reason]))
    print(f"round {cell.round}  {cell.case:15}  {cell.rival:21}  {told}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report. 1 if nothing at all could be measured."""
    settings, path = parse(arguments)
    about = machine.describe()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = Report(started, about, settings, run(settings, progress))
    print(report.markdown(), end="")
    if path is not None:
        path.write_text(json.dumps(report.json(), indent=1) + "\n")
    return 0 if any(row.seconds for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
