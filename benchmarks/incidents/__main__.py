"""The command line of the incidents.

    python -m benchmarks.incidents [--short] [--count 30] [--idle 20]

A worker is killed, a task exceeds its time-out, a running task is cancelled, nothing happens: ours
beside what the rivals do then.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import machine
from benchmarks.__main__ import positive
from benchmarks.contract import Status
from benchmarks.incidents.contract import FIGURES, Finding, Order
from benchmarks.incidents.report import Found, as_json, markdown, shown
from benchmarks.incidents.subjects import SUBJECTS
from benchmarks.runner import run_apart, trouble

OPENING = 60.0
"""Seconds that a cell may take for all that is not the incidents."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.incidents",
        description="What happens when something goes wrong, and what an idle pool costs.",
    )
    parser.add_argument("--count", type=positive, default=30, help="incidents of each kind (30)")
    parser.add_argument("--idle", type=float, default=20.0, help="idle seconds (20)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one kind, at most (60)")
    parser.add_argument("--workers", type=positive, default=2, help="for each subject (2)")
    parser.add_argument("--incidents", nargs="+", choices=[*FIGURES], default=[*FIGURES])
    parser.add_argument("--subjects", nargs="+", choices=[*SUBJECTS], default=[*SUBJECTS])
    parser.add_argument("--short", action="store_true", help="one table and the budgets, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    return parser.parse_args(arguments)


def orders(options: argparse.Namespace) -> Iterator[Order]:
    """A cell for each kind of incident, subject and start method."""
    for incident in options.incidents:
        seconds = options.idle if incident == "idle" else options.seconds
        for subject in options.subjects:
            for method in SUBJECTS[subject].methods:
                yield Order(subject, method, incident, options.workers, options.count, seconds)


def run(order: Order) -> Finding:
    """Run one cell."""
    limit = order.seconds + OPENING
    ended = run_apart("benchmarks.incidents.cell", json.dumps(asdict(order)), limit)
    answer = ended.answer
    finding = Finding.from_json(json.loads(answer)) if answer else Finding(Status.FAILED)
    wrong = trouble(ended, limit)
    if wrong and not finding.reason:
        return replace(finding, status=wrong[0], reason=wrong[1])
    return finding


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring it all about, and report. 1 if nothing at all could be measured."""
    options = parse(arguments)
    about = machine.describe()
    found = []
    for order in orders(options):
        each = Found(order, run(order))
        found.append(each)
        figures = {name: each.spread(name) for name in FIGURES[order.incident]}
        told = [f"{name} {shown(spread)}" for name, spread in figures.items() if spread]
        words = ", ".join(filter(None, [*told, each.remarks]))
        print(f"{order.incident:8}  {each.subject:36}  {words}", file=sys.stderr)
    print(markdown(found, about, options.short), end="")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(found, about), indent=1) + "\n")
    return 0 if any(each.finding.status is Status.MEASURED for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
