"""``procession map FUNCTION [INPUT ...]``: a function over many items, results as JSON lines."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from typing import Any

from procession._cli import map_inputs
from procession._cli.map_functions import NoSuchFunction, find_function
from procession._cli.map_inputs import BadInput, Read, Reader
from procession._cli.map_outputs import Output
from procession._cli.map_signals import Interrupted, Interrupts
from procession._engine.options import CHANGED, Options
from procession._engine.sources import Input
from procession._journal.calls import open_call
from procession._journal.forms import JSON, json_text
from procession._journal.jobs import RecordedJob
from procession._journal.sieve import Place
from procession.errors.journal import JournalError
from procession.errors.pool import RemoteTraceback
from procession.pool import Pool

# What the exit status says, besides 128 + the number of a signal.
_FINE, _FAILED, _ERROR = 0, 1, 2
_BROKEN_PIPE = 128 + signal.SIGPIPE


def run(asked: argparse.Namespace) -> int:
    """Run the function over the inputs; returns the exit status."""
    try:
        options = _options(asked)
        function = find_function(asked.function)
        source = _source(asked)
    except (NoSuchFunction, BadInput, ValueError, TypeError) as error:
        return _complain(str(error))
    except Exception:
        traceback.print_exc()
        return _complain(f"the module of {asked.function} can not be imported")
    except KeyboardInterrupt:  # while a module was imported
        print("procession map: ended by SIGINT before it began", file=sys.stderr)
        return 128 + signal.SIGINT
    try:
        return _Run(asked, options).over(function, source)
    except (JournalError, BadInput, ValueError, ImportError) as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"{error.filename or 'the system'}: {error.strerror}")
    finally:
        source.close()


def _complain(problem: str) -> int:
    print(f"procession map: {problem}", file=sys.stderr)
    return _ERROR


def _options(asked: argparse.Namespace) -> Options:
    journal = asked.journal
    if asked.chunksize is not None and asked.chunksize < 1:
        raise ValueError(f"--chunksize must be at least 1, not {asked.chunksize}")
    if asked.changed is not None and journal is None:
        raise ValueError("--changed says what to do with a journal: give --journal, too")
    if journal is not None:
        if asked.output is not None:
            taken = os.path.realpath(asked.output)
            if os.path.realpath(journal) in (taken, f"{taken}.part"):
                raise ValueError("--journal and --output (or its .part) are the same file")
        journal = {"path": journal, "changed": asked.changed or "error"}
    return Options(
        timeout=asked.timeout,
        retries=asked.retries,
        ordered=asked.plain if asked.ordered is None else asked.ordered,
        progress=asked.progress,
        journal=journal,
        star=asked.star,
    )


def _source(asked: argparse.Namespace) -> Input:
    if asked.jsonl is not None and asked.csv is not None:
        raise BadInput("--jsonl and --csv are the whole input: give one of them")
    path = asked.jsonl or asked.csv
    if asked.star and path is None:
        raise BadInput("--star takes the arguments of a call from --jsonl or --csv: give one")
    if path is not None:
        if asked.inputs or asked.files:
            raise BadInput("--jsonl and --csv are the whole input: give no others")
        reader = Reader(path)
        made = map_inputs.json_lines if asked.jsonl else map_inputs.csv_rows
        return Read(reader, made(reader, asked.star))
    if asked.files:
        if not asked.inputs:
            raise BadInput("--files takes patterns: give some")
        return map_inputs.files(asked.inputs)
    if asked.inputs in ([], ["-"]):
        reader = Reader("-")
        return Read(reader, map_inputs.lines(reader))
    return map_inputs.given(asked.inputs)


class _Run:
    """One run, and what has come of it so far."""

    def __init__(self, asked: argparse.Namespace, options: Options) -> None:
        self._asked = asked
        self._options = options
        self._written = self._failed = 0

    def over(self, function: Any, source: Input) -> int:
        """Run it; returns the exit status."""
        asked, words = self._asked, {}
        if asked.backend is not None:
            words["backend"] = asked.backend
        output = Output(asked.output)
        interrupts = Interrupts()
        try:
            with Pool(asked.jobs, **words) as pool:
                status = self._map(pool, function, source, output, interrupts)
        except Interrupted as interrupted:
            status = 128 + interrupted.number
            self._say_how_far(signal.Signals(interrupted.number).name, output)
        except BrokenPipeError:
            status = _BROKEN_PIPE  # nobody wants the rest: nothing to be said about
        finally:
            interrupts.restore()
            output.close()
        if self._failed and status == _FAILED:
            print(
                f"procession map: {self._failed} of {self._written} items failed", file=sys.stderr
            )
        return status

    def _map(
        self, pool: Pool, function: Any, source: Input, output: Output, interrupts: Interrupts
    ) -> int:
        size = self._asked.chunksize
        job = open_call(pool._engine, function, source, size, self._options, JSON, map_inputs.enter)
        is_complete = False
        try:
            is_complete = self._write_all(job, output, interrupts)
        finally:
            job.close()
            with interrupts.held():
                output.flush()
        if is_complete:
            with interrupts.held():
                output.finish()
        return _FAILED if self._failed else _FINE

    def _write_all(self, job: RecordedJob, output: Output, interrupts: Interrupts) -> bool:
        """Write what comes of the items; False if it ends before all have."""
        while True:
            try:
                outcome = job.next()
            except StopIteration:
                return True
            place = job.delivered
            assert outcome is not None  # nothing limits the time
            assert place is not None  # as there is an outcome
            success, value = outcome
            self._add(place, success, value, output)
            if not success and self._asked.errors == "raise":
                return False
            if output.is_full or not job.is_due:
                with interrupts.held():
                    output.flush()

    def _add(self, place: Place, success: bool, value: Any, output: Output) -> None:
        self._written += 1
        if success:
            output.add(value if self._asked.plain else _line(place, "result", value))
            return
        self._failed += 1
        if self._failed == 1 or self._asked.plain:
            self._report(place, value)
        if not self._asked.plain and self._asked.errors != "skip":
            said = {"type": type(value).__name__, "message": _message(value)}
            output.add(_line(place, "error", json_text(said)))

    def _report(self, place: Place, error: BaseException) -> None:
        print(f"procession map: item {place.position}, {place.shown}:", file=sys.stderr)
        text = "".join(traceback.format_exception_only(error))
        if self._failed == 1 and isinstance(error.__cause__, RemoteTraceback):
            text = str(error.__cause__).strip().strip('"').lstrip("\n")  # the worker's
        print(text, end="", file=sys.stderr)

    def _say_how_far(self, signal_name: str, output: Output) -> None:
        print(
            f"procession map: ended by {signal_name}; {self._written} results are in "
            f"{output.place}"
            + ("; the same command goes on" if self._options.journal is not None else ""),
            file=sys.stderr,
        )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"(its message can not be had: str() raised {type(failure).__name__})"


def _line(place: Place, name: str, text: str) -> str:
    return f'{{"index": {place.position}, "input": {place.shown}, "{name}": {text}}}'


def take_inputs(asked: argparse.Namespace, left: list[str]) -> list[str]:
    """Take the inputs that stand behind options, which argparse leaves; returns the rest."""
    options = [each for each in left if each.startswith("-") and not _is_input(each)]
    if not options:
        asked.inputs += left
    return options


def _is_input(argument: str) -> bool:
    return argument == "-" or argument[1:2].isdigit()


def describe(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("function", metavar="FUNCTION", help="module:function, or path/to/file.py:function")
    add("inputs", metavar="INPUT", nargs="*", help="an item; none, or -: the lines of stdin")
    _add_inputs(add)
    _add_running(add)
    _add_outputs(add)


def _add_inputs(add: Any) -> None:
    add("--files", action="store_true", help="inputs are patterns; items are the paths that match")
    add("--jsonl", metavar="FILE", help="items are the lines of FILE (- for stdin), JSON each")
    add("--csv", metavar="FILE", help="items are the rows of FILE as dicts, by the first line")
    add("--star", action="store_true", help="JSON arrays, or a row's values, are the arguments")


def _add_running(add: Any) -> None:
    add("-j", "--jobs", type=int, metavar="N", help="workers; as many as there are CPUs")
    add("--timeout", type=float, metavar="SECONDS", help="that an item may run; then it is killed")
    add("--retries", type=int, default=0, metavar="N", help="more runs of an item that fails")
    add("--chunksize", type=int, metavar="N", help="items that travel together; follows the time")
    add("--backend", metavar="NAME", help="what it runs on; worker processes here")
    add("--progress", action="store_true", help="a bar on stderr")
    add("--journal", metavar="FILE", help="record what is done; the same command goes on there")
    add("--changed", choices=CHANGED, help="with a journal, if the function's code has changed")


def _add_outputs(add: Any) -> None:
    add("--ordered", action=argparse.BooleanOptionalAction, help="results in the inputs' order")
    add("--unordered", dest="ordered", action="store_false", help="the same as --no-ordered")
    add("--plain", action="store_true", help="lines are results alone, and ordered")
    add(
        "--errors",
        choices=("return", "raise", "skip"),
        default="return",
        help="an item that fails: a line with its error, the end, or no line",
    )
    add("--output", metavar="FILE", help="instead of stdout; it appears when it is complete")


_DESCRIPTION = """\
Run a function over many inputs, in worker processes. For each item there is a line of JSON as soon
as it is done:

  {"index": 0, "input": "a", "result": ...}
  {"index": 1, "input": "b", "error": {"type": "ValueError", "message": "..."}}
"""

_EPILOG = """\
exit status: 0; 1: items failed; 2: the function, the input, the journal or an option can not be
used; 130 or 143: ended by Ctrl-C or SIGTERM; 141: nobody reads the output any more.

examples:
  procession map textwrap:dedent one two
  seq 1000 | procession map jobs.py:work -j 4 --timeout 60 --progress > results.jsonl
  procession map jobs.py:work --csv rows.csv --journal run.sqlite --output results.jsonl
"""
