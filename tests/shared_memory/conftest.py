"""Programs that use named memory, and where their records lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procession.shared_memory import SharedMemory
from tests.shared_memory.programs import Program

Start = Callable[..., Program]


@pytest.fixture(autouse=True, scope="session")
def _joined_for_good() -> None:
    """What a process makes at its first block, and keeps, lest the first test is blamed."""
    block = SharedMemory(create=True, size=1)
    block.close()
    block.unlink()


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Where the programs of this test keep their records: nothing is there yet."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(0o700)
    return runtime / "procession"


@pytest.fixture
def start(records: Path) -> Iterator[Start]:
    """Start a program; it is killed after the test if it still runs."""
    programs = []

    def start(text: str, *args: str) -> Program:
        programs.append(Program(text, *args, XDG_RUNTIME_DIR=str(records.parent)))
        return programs[-1]

    yield start
    for program in programs:
        program.close()
