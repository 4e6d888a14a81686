"""The record of who answers for which block: where it lies, and when it counts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from procession._named import membership, places, sweeping
from procession._named.places import Family, Identity
from procession.shared_memory import SharedMemory
from tests.shared_memory.conftest import Start
from tests.shared_memory.programs import CREATES, SWEEPS, exists, unlink


@pytest.fixture
def own_records(records: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process joins its family's record anew, in this place."""
    with monkeypatch.context() as patch:
        patch.setattr(membership, "_membership", None)
        patch.setenv("XDG_RUNTIME_DIR", str(records.parent))
        yield records
        membership._forget()


def _directory(records: Path) -> Path:
    (found,) = records.iterdir()
    return found


def test_a_record_is_private(own_records: Path) -> None:
    block = SharedMemory(create=True, size=1)
    directory = _directory(own_records)
    for path in (own_records, directory):
        assert path.stat().st_mode & 0o777 == 0o700
    about = os.stat(f"/dev/shm/{block.name}")
    entry = directory / f"{about.st_dev}-{about.st_ino}"
    assert os.readlink(entry) == block.name
    block.unlink()
    assert not [*directory.iterdir()]


def test_another_handle_may_unlink_it(own_records: Path) -> None:
    block = SharedMemory(create=True, size=1)
    SharedMemory(block.name, track=False).unlink()
    assert not [*_directory(own_records).iterdir()]


def test_another_family_may_unlink_it(start: Start, records: Path) -> None:
    program = start(CREATES)
    name = program.hear()
    unlinks = "import sys\nfrom procession.shared_memory import SharedMemory\n"
    assert start(unlinks + "SharedMemory(sys.argv[1]).unlink()\n", name).end() == (0, "")
    assert not [*_directory(records).iterdir()]
    assert program.end() == (0, "")


@pytest.mark.parametrize("reason", ["none", "relative", "not ours alone", "no directory", "link"])
def test_a_place_that_will_not_do_is_passed_over(
    own_records: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if reason == "none":
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    elif reason == "relative":
        monkeypatch.chdir(own_records.parent)
        monkeypatch.setenv("XDG_RUNTIME_DIR", ".")
    elif reason == "not ours alone":
        own_records.mkdir()
        own_records.chmod(0o755)
    elif reason == "no directory":
        own_records.write_text("")
    else:
        (own_records.parent / "target").mkdir(0o700)
        own_records.symlink_to("target")
    block = SharedMemory(create=True, size=1)
    member = membership._membership
    assert member is not None
    assert str(own_records) not in member.path
    block.unlink()


def test_where_nothing_will_do_an_error_says_so(
    own_records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "candidates", lambda: ["/proc/procession"])
    with pytest.raises(OSError, match=r"\$XDG_RUNTIME_DIR .* track=False .*/proc/procession"):
        SharedMemory(create=True, size=1)
    block = SharedMemory(create=True, size=1, track=False)
    block.unlink()


def test_a_name_that_is_anothers_by_now_stays(start: Start, records: Path) -> None:
    program = start(CREATES)
    name = program.hear()
    program.kill()
    unlink(name)
    other = os.open(f"/dev/shm/{name}", os.O_CREAT | os.O_EXCL, 0o600)
    os.close(other)
    assert start(SWEEPS).end() == (0, "")
    assert exists(name)
    assert not records.exists()
    unlink(name)


def _entry_of(name: str, directory: Path) -> None:
    """Write a record of a segment that is there."""
    directory.mkdir(0o700)
    identity = Identity.named(name)
    assert identity is not None
    (directory / identity.entry).symlink_to(name)


@pytest.fixture
def segment() -> Iterator[str]:
    """A segment that nobody answers for."""
    name = f"procession-test-{os.getpid()}"
    Path("/dev/shm", name).write_bytes(b"x")
    yield name
    Path("/dev/shm", name).unlink(missing_ok=True)


NO_ARENA = 1  # no inode of one


def test_a_record_of_a_family_that_nobody_is_in(own_records: Path, segment: str) -> None:
    own_records.mkdir(0o700)
    _entry_of(segment, own_records / Family.here(NO_ARENA).directory(0))
    assert sweeping.sweep() == [segment]
    assert not exists(segment)
    assert not own_records.exists()


def test_a_record_from_before_the_system_started(own_records: Path, segment: str) -> None:
    own_records.mkdir(0o700)
    family = Family.here(NO_ARENA)._replace(boot="0123")
    _entry_of(segment, own_records / family.directory(0))
    assert sweeping.sweep() == []
    assert exists(segment)
    assert not own_records.exists()


def test_a_record_of_another_namespace_is_left_to_those_in_it(
    own_records: Path, segment: str
) -> None:
    own_records.mkdir(0o700)
    family = Family.here(NO_ARENA)._replace(namespace=1)
    _entry_of(segment, own_records / family.directory(0))
    assert sweeping.sweep() == []
    assert exists(segment)
    assert own_records.exists()


def test_an_entry_of_another_dev_shm_is_left_alone(own_records: Path, segment: str) -> None:
    own_records.mkdir(0o700)
    directory = own_records / Family.here(NO_ARENA).directory(0)
    directory.mkdir()
    (directory / "1-2").symlink_to(segment)
    (directory / "something else").write_text("")
    assert sweeping.sweep() == []
    assert len([*directory.iterdir()]) == 2


def test_a_directory_that_is_no_familys_is_left_alone(own_records: Path) -> None:
    own_records.mkdir(0o700)
    (own_records / "something").mkdir()
    sweeping.sweep()
    assert (own_records / "something").exists()


def test_two_sweepers_do_not_disturb_each_other(own_records: Path, segment: str) -> None:
    own_records.mkdir(0o700)
    directory = own_records / Family.here(NO_ARENA).directory(0)
    _entry_of(segment, directory)
    fd = places.open_directory(str(directory))
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert sweeping.sweep() == []
    assert exists(segment)
    os.close(fd)
    assert sweeping.sweep() == [segment]


def test_many_sweep_at_once(start: Start, records: Path) -> None:
    creators = [start(CREATES) for _ in range(4)]
    names = [creator.hear() for creator in creators]
    waiting = "import procession.shared_memory, sys\nprint(flush=True)\nsys.stdin.readline()\n"
    sweepers = [start(waiting + SWEEPS) for _ in range(4)]
    for sweeper in sweepers:
        sweeper.hear()
    for creator in creators:
        creator.kill()
    for sweeper in sweepers:
        sweeper.say()
    assert [sweeper.end() for sweeper in sweepers] == [(0, "")] * 4
    assert not any(map(exists, names))
    assert not records.exists()


def test_who_joins_does_not_wait_for_a_sweeper(own_records: Path) -> None:
    own_records.mkdir(0o700)
    directory = own_records / Family.here(membership._arena()).directory(0)
    directory.mkdir()
    fd = places.open_directory(str(directory))
    fcntl.flock(fd, fcntl.LOCK_EX)
    block = SharedMemory(create=True, size=1)
    assert len([*own_records.iterdir()]) == 2
    assert not [*directory.iterdir()]
    block.unlink()
    os.close(fd)
    membership.leave()
    assert not own_records.exists()


def test_a_record_that_was_removed_is_made_again(own_records: Path) -> None:
    first = SharedMemory(create=True, size=1)
    first.unlink()
    _directory(own_records).rmdir()
    own_records.rmdir()
    second = SharedMemory(create=True, size=1)
    assert len([*_directory(own_records).iterdir()]) == 1
    second.unlink()


def test_a_members_lock_is_enough_to_see_it(
    own_records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = SharedMemory(create=True, size=1)
    monkeypatch.setattr(sweeping, "_lives", lambda family, besides: False)
    assert sweeping.sweep() == []
    block.unlink()


def test_a_living_member_is_seen_without_its_lock(own_records: Path) -> None:
    block = SharedMemory(create=True, size=1)
    membership._forget()
    for _ in range(2):
        assert sweeping.sweep() == []
    SharedMemory(create=True, size=1).unlink()
    with pytest.warns(UserWarning, match="1 leaked"):
        membership.leave()
    assert not exists(block.name)
