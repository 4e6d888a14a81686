"""How many CPUs: what affinity allows, what the control groups leave of it, what the user says."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._launch import cpus
from procession._launch.cpus import VARIABLE, cgroup_quota, cpu_count

_V2 = "30 23 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
_V1 = "31 23 0:27 {root} {point} rw,nosuid - cgroup cgroup rw,{options}"


class Machine:
    """A made-up file system root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)

    def groups(self, *lines: str) -> None:
        """What the process says of its control groups."""
        self._write("proc/self/cgroup", "".join(line + "\n" for line in lines))

    def mounts(self, *lines: str) -> None:
        """What is mounted, beside something else."""
        other = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
        self._write("proc/self/mountinfo", "".join(line + "\n" for line in (other, *lines)))

    def v2(self, path: str, root: str = "/", point: str = "/sys/fs/cgroup") -> None:
        """One hierarchy for everything."""
        self.groups(f"0::{path}")
        self.mounts(_V2.format(root=root, point=point))

    def quota(self, folder: str, text: str) -> None:
        """The quota of a version 2 group."""
        self._write(f"{folder}/cpu.max", text)

    def quota_v1(self, folder: str, quota: str, period: str = "100000\n") -> None:
        """The quota of a version 1 group."""
        self._write(f"{folder}/cpu.cfs_quota_us", quota)
        self._write(f"{folder}/cpu.cfs_period_us", period)

    def _write(self, name: str, text: str) -> None:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(text))

    @property
    def found(self) -> float | None:
        return cgroup_quota(self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def own_affinity() -> Iterator[set[int]]:
    """This process's CPUs, put back afterwards."""
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


@pytest.fixture(autouse=True)
def _nothing_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# Version 2


def test_without_a_quota_there_is_none(machine: Machine) -> None:
    assert machine.found is None
    machine.v2("/a/b")
    assert machine.found is None
    machine.quota("/sys/fs/cgroup/a/b", "max 100000\n")
    assert machine.found is None


def test_the_quota_of_our_group(machine: Machine) -> None:
    machine.v2("/a/b")
    machine.quota("/sys/fs/cgroup/a/b", "150000 100000\n")
    machine.quota("/sys/fs/cgroup/a/other", "1000 100000\n")
    assert machine.found == 1.5


@pytest.mark.parametrize("tightest", ["", "/a", "/a/b", "/a/b/c"])
def test_the_tightest_of_our_group_and_all_above_it(machine: Machine, tightest: str) -> None:
    machine.v2("/a/b/c")
    for folder in ("", "/a", "/a/b", "/a/b/c"):
        machine.quota(f"/sys/fs/cgroup{folder}", "400000 100000\n")
    machine.quota(f"/sys/fs/cgroup{tightest}", "50000 100000\n")
    assert machine.found == 0.5


def test_within_a_container_the_mounted_part_counts(machine: Machine) -> None:
    machine.v2("/docker/12ab/sub", root="/docker/12ab")
    machine.quota("/sys/fs/cgroup", "300000 100000\n")
    machine.quota("/sys/fs/cgroup/sub", "200000 100000\n")
    machine.quota("/sys/fs/cgroup/docker/12ab/sub", "100000 100000\n")  # is not ours
    assert machine.found == 2


@pytest.mark.parametrize("path", ["/../other", "/elsewhere", "/"])
def test_a_group_outside_of_what_is_mounted_has_the_mount_above_it(
    machine: Machine, path: str
) -> None:
    machine.v2(path, root="/docker/12ab")
    machine.quota("/sys/fs/cgroup", "300000 100000\n")
    machine.quota("/sys/fs/cgroup/elsewhere", "100000 100000\n")
    machine.quota("/sys/fs/other", "100000 100000\n")
    assert machine.found == 3


@pytest.mark.parametrize(
    "name",
    ["with:colon", "with space", "line\u2028separator", "carriage\rreturn", "form\ffeed", "\udcff"],
)
def test_groups_may_have_odd_names(machine: Machine, name: str) -> None:
    machine.v2(f"/{name}/b")
    machine.quota(f"/sys/fs/cgroup/{name}", "100000 100000\n")
    assert machine.found == 1


def test_mounts_may_have_odd_names(machine: Machine) -> None:
    machine.groups("0::/the part/b")
    machine.mounts(_V2.format(root="/the\\040part", point="/mnt/tab\\011new\\012back\\134slash"))
    machine.quota("/mnt/tab\tnew\nback\\slash/b", "100000 100000\n")
    assert machine.found == 1


# Version 1, and both


@pytest.mark.parametrize("options", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_the_quota_of_version_1(machine: Machine, options: str) -> None:
    machine.groups("4:memory:/m", f"3:{options}:/a/b", "1:name=systemd:/s")
    machine.mounts(
        _V1.format(root="/", point="/sys/fs/cgroup/memory", options="memory"),
        _V1.format(root="/", point="/sys/fs/cgroup/cpu", options=options),
    )
    machine.quota_v1("/sys/fs/cgroup/cpu", "-1\n")
    machine.quota_v1("/sys/fs/cgroup/cpu/a", "250000\n")
    machine.quota_v1("/sys/fs/cgroup/cpu/a/b", "-1\n")
    machine.quota_v1("/sys/fs/cgroup/memory/m", "100000\n")
    machine.quota_v1("/sys/fs/cgroup/cpu/m", "100000\n")
    assert machine.found == 2.5


def test_without_the_controller_version_1_says_nothing(machine: Machine) -> None:
    machine.groups("3:cpuset,cpuacct:/a", "0::/")
    machine.mounts(_V1.format(root="/", point="/sys/fs/cgroup/cpu", options="cpuset,cpuacct"))
    machine.quota_v1("/sys/fs/cgroup/cpu/a", "100000\n")
    assert machine.found is None


def test_of_both_versions_the_tighter_one_counts(machine: Machine) -> None:
    machine.groups("3:cpu:/a", "0::/b")
    machine.mounts(
        _V1.format(root="/", point="/sys/fs/cgroup/cpu", options="cpu"),
        _V2.format(root="/", point="/sys/fs/cgroup/unified"),
    )
    machine.quota_v1("/sys/fs/cgroup/cpu/a", "200000\n")
    machine.quota("/sys/fs/cgroup/unified/b", "300000 100000\n")
    assert machine.found == 2
    machine.quota("/sys/fs/cgroup/unified/b", "100000 100000\n")
    assert machine.found == 1


# What cannot be read


@pytest.mark.parametrize(
    "text",
    ["", "\n", "max", "100000\n", "100000 100000 1\n", "0 100000\n", "-1 100000\n", "100000 0\n",
     "100000 -1\n", "many 100000\n", "100000 max\n", "1.5 1\n", "\udcff \udcfe\n"],
)  # fmt: skip
def test_a_quota_that_makes_no_sense_is_none(machine: Machine, text: str) -> None:
    machine.v2("/a")
    machine.quota("/sys/fs/cgroup", "400000 100000\n")
    machine.quota("/sys/fs/cgroup/a", text)
    assert machine.found == 4


def test_files_that_cannot_be_read_are_passed_over(machine: Machine) -> None:
    machine.v2("/a/b")
    machine.quota("/sys/fs/cgroup", "400000 100000\n")
    (machine.root / "sys/fs/cgroup/a/cpu.max").mkdir(parents=True)  # EISDIR
    (machine.root / "sys/fs/cgroup/a/b").write_text("")  # ENOTDIR
    assert machine.found == 4
    machine.groups()
    assert machine.found is None
    (machine.root / "proc/self/cgroup").unlink()
    assert machine.found is None


@given(st.binary(), st.binary(), st.binary())
def test_whatever_the_files_say_there_is_an_answer(
    tmp_path_factory: pytest.TempPathFactory, groups: bytes, mounts: bytes, quota: bytes
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.v2("/a")
    with (machine.root / "proc/self/cgroup").open("ab") as file:
        file.write(groups)
    with (machine.root / "proc/self/mountinfo").open("ab") as file:
        file.write(mounts)
    machine.quota("/sys/fs/cgroup", "400000 100000\n")
    machine.quota("/sys/fs/cgroup/a", os.fsdecode(quota))
    assert machine.found is not None
    assert machine.found <= 4


# The count


@pytest.mark.parametrize(
    ("quota", "expected"),
    [(None, 8), (0.01, 1), (1.0, 1), (1.5, 2), (7.0, 7), (7.01, 8), (100.0, 8)],
)
def test_the_count_is_the_smaller_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    monkeypatch.setattr(cpus, "_affinity", lambda: 8)
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: quota)
    assert cpu_count() == expected


@given(st.integers(1, 512), st.floats(1e-6, 1024))
def test_the_count_is_at_least_one_and_enough_for_the_quota(allowed: int, quota: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpus, "_affinity", lambda: allowed)
        patch.setattr(cpus, "cgroup_quota", lambda: quota)
        count = cpu_count()
    assert 1 <= count <= allowed
    assert count == allowed or quota <= count < quota + 1


def test_affinity_is_asked_for_anew_each_time(
    monkeypatch: pytest.MonkeyPatch, own_affinity: set[int]
) -> None:
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: None)
    assert cpu_count() == len(own_affinity)
    os.sched_setaffinity(0, {min(own_affinity)})
    assert cpu_count() == 1


def test_this_machine_has_an_answer() -> None:
    quota = cgroup_quota()
    expected = len(os.sched_getaffinity(0))
    assert cpu_count() == (expected if quota is None else min(expected, max(1, math.ceil(quota))))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="an option of Python 3.13")
def test_the_interpreters_own_option_is_heeded() -> None:
    program = "from procession._launch.cpus import cpu_count; print(cpu_count())"
    done = subprocess.run(
        [sys.executable, "-X", "cpu_count=1", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("64", 64), (" 3 ", 3)])
def test_the_environment_overrides_it(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: 0.5)
    monkeypatch.setenv(VARIABLE, text)
    assert cpu_count() == expected


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "_affinity", lambda: 5)
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: None)
    monkeypatch.setenv(VARIABLE, "")
    assert cpu_count() == 5


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5", " ", "1,5"])
def test_a_variable_that_makes_no_sense_is_an_error(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=f"^{VARIABLE} must be a positive whole number, not "):
        cpu_count()
