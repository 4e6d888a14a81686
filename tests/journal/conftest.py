"""What tests of journals have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from procession.pool import Pool
from tests.journal.runs import Runs


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The runs of ``counted``'s functions. Before ``pool``, whose workers inherit the name."""
    found = Runs(tmp_path / "runs.log")
    monkeypatch.setenv("RUNS_LOG", str(found.path))
    return found


@pytest.fixture
def pool(runs: Runs) -> Iterator[Pool]:
    """A pool of two workers."""
    with Pool(2) as opened:
        yield opened
    opened.join()
