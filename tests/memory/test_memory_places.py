"""No /dev/shm, nowhere to write, no home: all roads carry large data all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.memory import program
from tests.memory.surroundings import NO_SHM, READ_ONLY, SMALL_SHM, mounted, run, went_well

MIB = 1 << 20


def test_a_small_dev_shm_stays_empty(method: str) -> None:
    """What goes through is more than it would hold."""
    went_well(run(method, 24 * MIB, before=mounted(SMALL_SHM)))


def test_no_dev_shm_at_all(method: str) -> None:
    went_well(run(method, 4 * MIB, before=mounted(NO_SHM)))


def test_a_file_system_that_nobody_can_write_to(method: str) -> None:
    went_well(run(method, 4 * MIB, before=mounted(READ_ONLY)))


def test_no_home_and_no_place_for_temporary_files(method: str) -> None:
    before = mounted(READ_ONLY)
    went_well(run(method, 4 * MIB, before=before, without=["HOME"], TMPDIR="/nowhere"))


def test_the_watch_sees_what_is_there_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SHM", str(tmp_path))
    watch = program.Watch()
    watch.free = 0  # others use this disk, too
    watch.check()
    tmp_path.joinpath("moment").touch()
    tmp_path.joinpath("moment").unlink()
    with pytest.raises(AssertionError, match=r"put into .*: \['moment'\]"):
        watch.check()
    watch.close()
