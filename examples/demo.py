"""A pool at work on real input: the standard library of this very Python, parsed.

    python examples/demo.py [DIRECTORY]

Every module (but those of ``test``, Python's tests of itself, unless ``--tests`` asks for them) is
parsed with ``ast``, and its lines, functions, classes and deepest nesting are counted: one task a
file. The same is done serially and with the standard library's Pool, all in turn, and the results
are compared. Then a worker is killed in the middle of a file.

Ends with 0 only if everything that is claimed on the way has come true.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import select
import signal
import sys
import sysconfig
import tempfile
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import NamedTuple

import procession

PATIENCE = 30.0
"""Seconds after which something counts as hung. Nothing here takes so long by far."""


# ---- The work: one task a file


class Survey(NamedTuple):
    """What one file contains."""

    lines: int
    functions: int
    classes: int
    nesting: int  # how many compound statements stand around the innermost statement


Results = list[Survey | None]


def survey(path: str) -> Survey | None:
    """Parse one file and count; None if it is no valid Python."""
    source = Path(path).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid escapes, in tests for those
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    functions = classes = deepest = 0
    pending: list[tuple[ast.AST, int]] = [(tree, -1)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        functions += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        classes += isinstance(node, ast.ClassDef)
        pending += [(inner, depth + deeper) for inner, deeper in _inside(node)]
    return Survey(len(source.splitlines()), functions, classes, deepest)


def _inside(node: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """The nodes directly inside a statement, each with how much deeper it stands."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner: list[ast.AST] = getattr(node, field, [])
        # Statements stand in an `except` or `case`, and these beside their `try` or `match`.
        deeper = field not in ("handlers", "cases")
        if field == "orelse" and isinstance(node, ast.If) and len(inner) == 1:
            deeper = not isinstance(inner[0], ast.If)  # elif
        for statement in inner:
            yield statement, deeper


def survey_until_killed(path: str, announcement: str) -> None:
    """Tell our pid, then parse one file again and again: only a kill ends this task in time."""
    with open(announcement, "w") as told:
        told.write(f"{os.getpid()}\n")
    end = monotonic() + 2 * PATIENCE
    while monotonic() < end:
        survey(path)


# ---- Three ways to have it done


def compare(
    paths: Sequence[str], workers: int, rounds: int
) -> tuple[dict[str, list[float]], list[Results]]:
    """The seconds that each way took, by round, and all results. A pool's own start and end count.

    The ways take turns, so that a slow spell of the machine hits them alike.
    """

    def with_stdlib() -> Results:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            return pool.map(survey, paths)

    def with_procession() -> Results:
        with procession.Pool(workers) as pool:
            return pool.map(survey, paths)

    ways: dict[str, Callable[[], Results]] = {
        "serial": lambda: [survey(path) for path in paths],
        "multiprocessing.Pool": with_stdlib,
        "procession.Pool": with_procession,
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    results = []
    for _ in range(rounds):
        for way, run in ways.items():
            start = perf_counter()
            results.append(run())
            seconds[way].append(perf_counter() - start)
    return seconds, results


# ---- A death


class Aftermath(NamedTuple):
    """What became of the tasks when a worker was killed."""

    pid: int  # of the worker
    noticed: float  # seconds from the kill until it was reported
    deaths: dict[str, procession.WorkerDied]  # by path
    results: dict[str, Survey | None]  # by path
    again: Results  # of the same pool, afterwards


def kill_one(paths: Sequence[str], victim: str, workers: int) -> Aftermath:
    """One task a file; SIGKILL the worker that is busy with `victim`; collect all outcomes.

    Raises:
        TimeoutError: something hung.
    """
    with announcements() as (place, hear), procession.Pool(workers) as pool:
        tasks = {
            path: pool.apply_async(survey, (path,))
            if path != victim
            else pool.apply_async(survey_until_killed, (path, place))
            for path in paths
        }
        pid = hear()
        os.kill(pid, signal.SIGKILL)
        killed = perf_counter()
        tasks[victim].wait(PATIENCE)
        noticed = perf_counter() - killed
        deaths, results = {}, {}
        for path, task in tasks.items():
            try:
                results[path] = task.get(PATIENCE)
            except procession.WorkerDied as error:
                deaths[path] = error
        again = pool.map_async(survey, paths).get(PATIENCE)
        return Aftermath(pid, noticed, deaths, results, again)


@contextmanager
def announcements() -> Iterator[tuple[str, Callable[[], int]]]:
    """A named pipe in which a task tells its worker's pid, and a function that waits for that."""
    with tempfile.TemporaryDirectory() as directory:
        place = str(Path(directory, "pid"))
        os.mkfifo(place)
        fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK)

        def hear() -> int:
            if not select.select([fd], [], [], PATIENCE)[0]:
                raise TimeoutError("the task to be killed did not begin")
            return int(os.read(fd, 32))

        try:
            yield place, hear
        finally:
            os.close(fd)


# ---- What is printed


class Claims:
    """What is claimed, printed with whether it is true."""

    def __init__(self) -> None:
        self.all_true = True

    def check(self, truth: bool, claim: str) -> None:
        """Print one claim."""
        self.all_true = self.all_true and truth
        print(f"  {'[ok]' if truth else '[NOT SO]'} {claim}")


def modules(directory: Path, *, tests: bool) -> list[str]:
    """The Python files below it, relative to it, but for what is not the library's own."""
    left_out = {"site-packages", "dist-packages"} | (set() if tests else {"test"})
    found = (path.relative_to(directory) for path in directory.rglob("*.py"))
    return sorted(str(path) for path in found if path.parts[0] not in left_out)


def print_table(paths: Sequence[str], results: Results) -> None:
    """The largest packages, and the totals."""
    packages: dict[str, list[Survey]] = defaultdict(list)
    for path, found in zip(paths, results, strict=True):
        if found is not None:
            top, *rest = Path(path).parts
            packages[top if rest else "(single modules)"].append(found)
    largest = sorted(packages, key=lambda name: (-sum(s.lines for s in packages[name]), name))
    rule = "  " + "-" * 76

    def print_row(name: str, surveys: list[Survey]) -> None:
        lines = sum(s.lines for s in surveys)
        functions = sum(s.functions for s in surveys)
        classes = sum(s.classes for s in surveys)
        deepest = max((s.nesting for s in surveys), default=0)
        print(f"  {name:26}{len(surveys):8,}{lines:11,}{functions:11,}{classes:10,}{deepest:10,}")

    print(f"\n  {'':26}{'files':>8}{'lines':>11}{'functions':>11}{'classes':>10}{'deepest':>10}")
    print(rule)
    for name in largest[:12]:
        print_row(name, packages[name])
    rest_of_them = [found for name in largest[12:] for found in packages[name]]
    if rest_of_them:
        print_row(f"({len(largest) - 12} other packages)", rest_of_them)
    print(rule)
    print_row("in all", [found for found in results if found is not None])
    print(f"  Skipped, as no valid Python (some test data): {results.count(None)} files")


def print_times(seconds: dict[str, list[float]], workers: int, rounds: int) -> None:
    """Each way's median, its spread, and how it compares with the serial one."""
    print(f"\nWall time, {workers} workers, median of {rounds} rounds in which all took turns:")
    serial = median(seconds["serial"])
    for way, taken in seconds.items():
        spread = f"({min(taken):.2f} to {max(taken):.2f})"
        speed = f"{serial / median(taken):.2f} x serial"
        print(f"  {way:22}{median(taken):8.2f} s  {spread:18}{speed:>14}")


def print_death(claims: Claims, paths: Sequence[str], right: Results, workers: int) -> None:
    """Kill a worker, and check what is claimed for that case."""
    reported = textwrap.TextWrapper(
        width=98,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    victim = paths[len(paths) // 2]
    print(f"\nOnce more, but the worker that is busy with {victim} gets SIGKILL:")
    try:
        told = kill_one(paths, victim, workers)
    except TimeoutError as late:
        claims.check(False, f"nothing hung: {str(late) or 'no outcome'} within {PATIENCE:g} s")
        return
    for error in told.deaths.values():
        print(reported.fill(f"reported: {type(error).__name__}: {error}"))
    expected = dict(zip(paths, right, strict=True))
    del expected[victim]
    claims.check(True, f"nothing hung: the death was reported after {told.noticed * 1e3:.1f} ms")
    named = [
        (path, error.pid, error.exitcode, path in error.task) for path, error in told.deaths.items()
    ]
    claims.check(
        named == [(victim, told.pid, -signal.SIGKILL, True)],
        f"exactly one task was lost, and named: the one that worker {told.pid} was at",
    )
    claims.check(told.results == expected, f"the other {len(expected):,} tasks gave their results")
    claims.check(told.again == right, "the same pool then did all of them, with equal results")


def main() -> int:
    """Run the demo; 0 if everything claimed is true."""
    parser = argparse.ArgumentParser(description="Parse the standard library with a pool.")
    library = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("directory", type=Path, nargs="?", default=library)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is timed (3)")
    parser.add_argument("--workers", type=int, default=max(2, procession.cpu_count()))
    parser.add_argument("--tests", action="store_true", help="Python's tests of itself, too")
    given = parser.parse_args()
    paths = modules(given.directory, tests=given.tests)
    if not paths or given.rounds < 1 or given.workers < 1:
        parser.error("this takes Python files below DIRECTORY, a round, and a worker at least")

    of = "the standard library" if given.directory == library else str(given.directory)
    print(f"Parsing {of} with Python {sys.version.split()[0]}: {len(paths):,} files, one task each")
    os.chdir(given.directory)  # so tasks have short names
    seconds, results = compare(paths, given.workers, given.rounds)
    print_table(paths, results[0])
    print_times(seconds, given.workers, given.rounds)
    claims = Claims()
    claims.check(
        all(result == results[0] for result in results), "all gave equal results, in every round"
    )
    print_death(claims, paths, results[0], given.workers)
    return 0 if claims.all_true else 1


if __name__ == "__main__":
    sys.exit(main())
