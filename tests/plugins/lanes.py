"""A part of the tests: ``--lane 1/2`` and ``--lane 2/2`` have every other file each."""

from __future__ import annotations

import pytest


def _lane(text: str) -> tuple[int, int]:
    lane, _, lanes = text.partition("/")
    if not (lane.isdigit() and lanes.isdigit() and 1 <= int(lane) <= int(lanes)):
        raise pytest.UsageError(f"--lane {text}: to be K/N, the K-th of every N files")
    return int(lane), int(lanes)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lane", metavar="K/N", help="only the K-th of every N test files")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the files that the other options have left."""
    if not config.getoption("lane"):
        return
    lane, lanes = _lane(config.getoption("lane"))
    files = {path: number for number, path in enumerate(dict.fromkeys(i.path for i in items))}
    others = [item for item in items if files[item.path] % lanes != lane - 1]
    items[:] = [item for item in items if files[item.path] % lanes == lane - 1]
    config.hook.pytest_deselected(items=others)
