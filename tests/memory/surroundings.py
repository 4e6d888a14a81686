"""Runs the program of this room in other surroundings: mounts, limits, variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.memory import program
from tests.plugins.scripts import LIMIT, script_environment

STEPS = [road.__name__ for road in program.ROADS] + ["done"]

SMALL_SHM = "mount -t tmpfs -o size=64m tmpfs /dev/shm"

# A /dev with the devices that programs expect, and no more.
NO_SHM = """
mount -t tmpfs tmpfs /mnt
for name in null zero full random urandom; do
    touch /mnt/$name
    mount --bind /dev/$name /mnt/$name
done
ln -s /proc/self/fd /mnt/fd
mount --move /mnt /dev
"""

READ_ONLY = """
cut -d ' ' -f 5 /proc/self/mountinfo | sort -u | while read -r mount; do
    case "$mount" in
    /proc | /proc/* | /sys | /sys/*) ;;
    *) mount -o remount,bind,ro "$mount" ;;
    esac
done
for folder in "$PWD" /tmp /var/tmp /dev/shm; do
    if touch "$folder/procession-test" 2> /dev/null; then
        echo "$folder can be written to" >&2
        exit 1
    fi
done
"""


@cache
def _unshare() -> list[str]:
    """The command that gives a program mounts of its own."""
    return ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else []), "--"]


@cache
def _why_not(mounts: str) -> str | None:
    """Why such mounts can not be had here; None if they can."""
    if shutil.which("unshare") is None:
        return "no unshare command"
    command = [*_unshare(), "sh", "-ec", mounts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    return f"mounts are not permitted: {done.stderr.strip()}" if done.returncode else None


def mounted(mounts: str) -> list[str]:
    """The beginning of a command line: what follows runs with these mounts. Skips the test where
    that is not permitted."""
    reason = _why_not(mounts)
    if reason is not None:
        pytest.skip(reason)
    return [*_unshare(), "sh", "-ec", f'{mounts}\nexec "$@"', "sh"]


def run(
    method: str,
    size: int,
    *,
    before: Sequence[str] = (),
    setting: Callable[[], None] | None = None,
    without: Sequence[str] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """The program's end.

    Args:
        before: the beginning of the command line.
        setting: called in the process that becomes the program.
        without: variables that it does not get.
    """
    variables = script_environment(**environment)
    for name in without:
        variables.pop(name, None)
    return subprocess.run(
        [*before, sys.executable, str(Path(program.__file__)), method, str(size)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        preexec_fn=setting,
    )


def went_well(done: subprocess.CompletedProcess[str]) -> None:
    """Raise AssertionError unless all roads were taken, and nothing was said."""
    assert done.stdout.split() == STEPS, done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (0, "")
