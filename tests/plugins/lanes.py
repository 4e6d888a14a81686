"""A part of the tests: ``--lane 1/10`` to ``--lane 10/10`` have every tenth file each.

Files of other lanes are not even imported. A pytest that knows thousands of tests is a large
process: to fork it, which most tests do, takes several times as long.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest


def _lane(text: str) -> tuple[int, int]:
    lane, _, lanes = text.partition("/")
    if not (lane.isdigit() and lanes.isdigit() and 1 <= int(lane) <= int(lanes)):
        raise pytest.UsageError(f"--lane {text}: to be K/N, the K-th of every N files")
    return int(lane), int(lanes)


@cache
def _numbers(root: Path) -> dict[Path, int]:
    return {path: number for number, path in enumerate(sorted(root.glob("tests/**/test_*.py")))}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lane", metavar="K/N", help="only the K-th of every N test files")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse at once what is no lane."""
    if text := config.getoption("lane"):
        _lane(text)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of other lanes."""
    text = config.getoption("lane")
    number = _numbers(config.rootpath).get(collection_path) if text else None
    if number is None:
        return None
    lane, lanes = _lane(text)
    return True if number % lanes != lane - 1 else None
