"""``procession compare FUNCTION [INPUT ...]``: serial, threads or processes, measured."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from procession._cli.map_functions import NoSuchFunction, find_function
from procession._cli.map_inputs import BadInput, Reader, json_lines, lines
from procession._compare.comparing import compare
from procession._compare.sampling import NoItemsError

# What the exit status says.
_FINE, _FAILED, _ERROR = range(3)


def run(asked: argparse.Namespace) -> int:
    """Compare, and print what came out; returns the exit status."""
    try:
        function = find_function(asked.function)
    except NoSuchFunction as error:
        return _complain(str(error))
    except Exception:
        traceback.print_exc()
        return _complain(f"the module of {asked.function} can not be imported")
    try:
        # What the function prints is not to be mistaken for what is printed here.
        with _items(asked) as items, contextlib.redirect_stdout(sys.stderr):
            found = compare(function, items, workers=asked.jobs, seconds=asked.seconds)
    except (BadInput, NoItemsError) as error:
        return _complain(str(error))
    except Exception:
        traceback.print_exc()
        print("procession compare: the function raises for every item", file=sys.stderr)
        return _FAILED
    print(json.dumps(found.to_dict(), indent=2) if asked.as_json else found)
    return _FINE


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"must be a whole number from 2 on, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, not {text!r}")
    return seconds


def _complain(problem: str) -> int:
    print(f"procession compare: {problem}", file=sys.stderr)
    return _ERROR


@contextlib.contextmanager
def _items(asked: argparse.Namespace) -> Iterator[Iterable[Any]]:
    if asked.jsonl is not None and asked.inputs:
        raise BadInput("--jsonl is the whole input: give no others")
    if asked.jsonl is None and asked.inputs not in ([], ["-"]):
        yield asked.inputs
        return
    reader = Reader("-" if asked.jsonl is None else asked.jsonl)
    try:
        read = lines(reader) if asked.jsonl is None else json_lines(reader, star=False)
        yield (item.argument for item in read)
    finally:
        reader.close()


def describe(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "function", metavar="FUNCTION", help="module:function, or path/to/file.py:function"
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="an item, as text; without any (or -), each line of standard input is one",
    )
    parser.add_argument(
        "--jsonl", metavar="FILE", help="each line of the file is an item, as JSON; - for stdin"
    )
    parser.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        type=_jobs,
        help="how many threads and processes; as many as there are CPUs, if not given",
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=_seconds,
        default=2.0,
        help="how long it may take, about (default: 2)",
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="for programs")


_DESCRIPTION = """\
Run a function over a sample of the items, one after the other, in threads and in processes; say
where the time goes, and what to use. The function is really called, several times for each item.
"""

_EPILOG = """\
examples:
  procession compare pages:parse page1.html page2.html
  ls data | procession compare tools.py:summarize
  procession compare tools.py:solve --jsonl problems.jsonl --seconds 10

exit status: 0: it was measured; 1: the function raises for every item; 2: it can not be.
"""
