"""A process is killed at each step of what it does with blocks; whatever it left is swept.

The steps are the calls that change a file system or take a lock. It dies before the first one, then
behind it, before the second one, and so on until it lives through them all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.scripts import RunScript

PROGRAM = """
import fcntl, os, signal, sys
from types import SimpleNamespace
from procession._named import membership, segments, sweeping
from procession.shared_memory import SharedMemory

# Whoever forks is of no family here, but those that create are each of their own.
core = membership._core
membership._core = SimpleNamespace(join=int)
name = f"procession-steps-{os.getpid()}"
passed = 0

def step():
    global passed
    passed += 1
    if passed == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

def wrap(module, name):
    really = getattr(module, name)
    def call(*args, **options):
        step()
        try:
            return really(*args, **options)
        finally:
            step()
    setattr(module, name, call)

def arm():
    for name in ("open", "mkdir", "rmdir", "symlink", "link", "unlink", "posix_fallocate"):
        wrap(os, name)
    wrap(fcntl, "flock")
    wrap(segments, "shm_unlink")

def create():
    membership._core = core
    arm()
    SharedMemory(name, create=True, size=100)

def unlink():
    membership._core = core
    block = SharedMemory(name, create=True, size=100)
    arm()
    block.unlink()

def sweep():
    if os.fork() == 0:
        membership._core = core
        for number in range(2):
            SharedMemory(f"{name}-{number}", create=True, size=100)
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    arm()
    sweeping.sweep()

dies_at, code = 0, -1
while code:
    dies_at += 1
    if os.fork() == 0:
        globals()[sys.argv[1]]()
        os._exit(0)
    code = os.wait()[1]
    assert code in (0, signal.SIGKILL), code
    sweeping.sweep()
    left = [found for found in os.listdir("/dev/shm") if found.startswith(name)]
    assert not left, (dies_at, left)
    assert not os.path.exists(sys.argv[2]), dies_at
print(dies_at)
"""

# So many steps at least, each with a call: of joining the family, of making a block; and so on.
FEWEST = {"create": 12, "unlink": 4, "sweep": 14}


@pytest.mark.parametrize("work", FEWEST)
def test_whoever_is_killed_at_some_step(run_script: RunScript, records: Path, work: str) -> None:
    done = run_script(PROGRAM, work, str(records), XDG_RUNTIME_DIR=str(records.parent))
    assert done.stderr == ""
    assert int(done.stdout) > FEWEST[work]
