"""The arguments of the ``procession`` command, and what they ask for."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import procession
from procession._cli import explain, locks, memory, run, standin

_DESCRIPTION = """\
Python's multiprocessing, rebuilt on one crash-safe shared-memory core: the same API, fast, and it
never hangs.
"""

_RUN_DESCRIPTION = """\
Run a program that is written for Python's multiprocessing, unmodified, on procession: wherever it
(or a library that it uses) imports multiprocessing or a part of it, it gets procession's. What
procession does not have yet, it gets from the standard library. Everything else is as under
`python`: arguments, standard streams, tracebacks and exit codes.
"""

_RUN_EPILOG = """\
Everything after the program belongs to the program; options for procession come before it. Child
processes run on procession as well, but other programs that the program starts (subprocess) do not.

examples:
  procession run train.py --epochs 3
  procession run -m package.module input.csv
  procession run --explain train.py
"""

_WITH_POOLS = {
    "map": "run a function over many inputs, in parallel; results as JSON lines",
    "compare": "measure whether serial, threads or processes are fastest for a function",
}
"""Commands that are loaded when they are asked for: a program that is run under procession must
find the standard library untouched, and what only looks at pools needs none."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code.

    A program that is run may end it by any exception as well.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    if given[:1] == ["run"]:
        return _do(given)
    try:
        return _do(given)
    except KeyboardInterrupt:
        print(" ".join(("procession", *given[:1])) + ": ended by SIGINT", file=sys.stderr)
        return 128 + signal.SIGINT


def _do(given: list[str]) -> int:
    ours, programs = _split(given)
    loaded: ModuleType | None = None
    if given[:1] and given[0] in _WITH_POOLS:
        loaded = import_module(f"procession._cli.{given[0]}")
    parser = _parser(loaded)
    asked, left = parser.parse_known_args(ours)
    if asked.command == "map" and loaded is not None:
        left = loaded.take_inputs(asked, left)
        asked.inputs += programs
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if asked.command == "locks":
        return locks.show(asked.pid, everything=asked.everything, as_json=asked.as_json)
    if asked.command == "memory":
        return memory.show(asked.pid, as_json=asked.as_json)
    if loaded is not None:
        done: int = loaded.run(asked)
        return done
    account = None
    if asked.explain:
        account = explain.Account()
        account.report_at_exit()
    standin.install(account)
    if asked.module is not None:
        run.run_module(asked.module, programs)
    elif asked.code is not None:
        run.run_text(asked.code, programs)
    else:
        run.run_script(asked.script, programs)
    return 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our arguments, up to and including what names the program, and the program's own.

    argparse cannot tell them apart: it would look for our options among the program's.
    """
    if arguments[:1] == ["map"] and "--" in arguments:  # only inputs behind it
        at = arguments.index("--")
        return arguments[:at], arguments[at + 1 :]
    if arguments[:1] != ["run"]:
        return arguments, []
    for index, argument in enumerate(arguments[1:], 1):
        if argument in ("-m", "-c", "--"):
            return arguments[: index + 2], arguments[index + 2 :]
        if argument.startswith(("-m", "-c")) or not argument.startswith("-"):
            return arguments[: index + 1], arguments[index + 1 :]
    return arguments, []


def _parser(loaded: ModuleType | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="procession", description=_DESCRIPTION)
    version = f"procession {procession.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    runner = commands.add_parser(
        "run",
        help="run a program written for multiprocessing, unmodified",
        usage="procession run [-h] [--explain] (SCRIPT | -m MODULE | -c CODE) [ARGUMENT ...]",
        description=_RUN_DESCRIPTION,
        epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    runner.add_argument(
        "--explain",
        action="store_true",
        help="at the program's end, list on standard error what it used of multiprocessing: what "
        "came from procession, and what from the standard library",
    )
    program = runner.add_mutually_exclusive_group(required=True)
    program.add_argument(
        "script",
        metavar="SCRIPT",
        nargs="?",
        help="a Python file, or a directory or zip file with a __main__.py in it",
    )
    program.add_argument("-m", dest="module", metavar="MODULE", help="a module to be imported")
    program.add_argument("-c", dest="code", metavar="CODE", help="the program itself, as text")
    # Not parsed by argparse (see _split), only shown.
    runner.add_argument(
        "arguments", metavar="ARGUMENT", nargs="*", help="handed on to the program as they are"
    )
    for name, summary in _WITH_POOLS.items():
        parser_of_it = commands.add_parser(name, help=summary)
        if loaded is not None and loaded.__name__.endswith(f".{name}"):
            loaded.describe(parser_of_it)
    locks.add_to(commands)
    memory.add_to(commands)
    return parser
