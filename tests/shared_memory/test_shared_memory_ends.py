"""What becomes of blocks when their program ends, or one of its processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.shared_memory.conftest import Start
from tests.shared_memory.programs import CREATES, SWEEPS, exists, unlink

METHODS = ["fork", "spawn", "forkserver"]


def test_a_killed_programs_block_is_swept_at_the_next_start(start: Start, records: Path) -> None:
    program = start(CREATES)
    name = program.hear()
    program.kill()
    assert exists(name)
    assert start(SWEEPS).end() == (0, "")
    assert not exists(name)
    assert not records.exists()


@pytest.mark.parametrize(
    "use",
    [
        "SharedMemory(sys.argv[1])",
        "SharedMemory(sys.argv[1], create=True, size=1).unlink(); raise FileNotFoundError",
    ],
)
def test_its_name_is_free_before_anything_is_done_with_it(start: Start, use: str) -> None:
    program = start(CREATES)
    name = program.hear()
    next_one = start(
        "import sys\n"
        "from procession.shared_memory import SharedMemory\n"
        f"sys.stdin.readline()\n{use}\n",
        name,
    )
    program.kill()
    code, errors = next_one.end()
    assert code == 1
    assert "FileNotFoundError" in errors.splitlines()[-1]
    assert "FileExistsError" not in errors


def test_a_program_that_ends_unlinks_what_it_forgot_and_says_so(
    start: Start, records: Path
) -> None:
    program = start(CREATES)
    name = program.hear()
    code, errors = program.end()
    assert code == 0
    assert "UserWarning: There appear to be 1 leaked shared_memory objects to clean up" in errors
    assert name in errors
    assert not exists(name)
    assert not records.exists()


def test_a_program_that_forgot_nothing_leaves_nothing_and_says_nothing(
    start: Start, records: Path
) -> None:
    program = start(CREATES + "block.unlink()\n")
    program.hear()
    assert len([*records.iterdir()]) == 1
    assert program.end() == (0, "")
    assert not records.exists()


def test_an_untracked_block_stays(start: Start, records: Path) -> None:
    untracked = CREATES.replace("size=10", "size=10, track=False")
    ends, dies = start(untracked), start(untracked)
    names = [ends.hear(), dies.hear()]
    assert not records.exists()
    assert ends.end() == (0, "")
    dies.kill()
    assert start(SWEEPS).end() == (0, "")
    for name in names:
        assert exists(name)
        unlink(name)


@pytest.mark.parametrize("module", ["procession", "multiprocessing"])
def test_who_opens_a_block_is_not_responsible_for_it(start: Start, module: str) -> None:
    creator = start(CREATES)
    name = creator.hear()
    opens = (
        "import sys\n"
        "from procession.shared_memory import SharedMemory\n"
        "block = SharedMemory(sys.argv[1])\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
    )
    ends, dies = start(opens, name), start(opens, name)
    ends.hear()
    dies.hear()
    assert ends.end() == (0, "")
    dies.kill()
    assert start(SWEEPS).end() == (0, "")
    assert exists(name)
    creator.kill()
    start(SWEEPS).end()
    assert not exists(name)


CHILD_CREATES = """
import os, signal, sys
from procession import get_context
from procession.shared_memory import SharedMemory

def create(end, fate):
    end.send((os.getpid(), SharedMemory(create=True, size=10).name))
    if fate == "dies":
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    context = get_context(sys.argv[1])
    here, there = context.Pipe()
    child = context.Process(target=create, args=(there, sys.argv[2]))
    child.start()
    _, name = here.recv()
    child.join()
    print(name, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("fate", ["ends", "dies"])
@pytest.mark.parametrize("method", METHODS)
def test_a_childs_block_lives_as_long_as_the_family(
    start: Start, records: Path, method: str, fate: str
) -> None:
    """The parent has no part in it, but that it maps the family's arena."""
    program = start(CHILD_CREATES, method, fate)
    name = program.hear()
    for _ in range(2):
        assert start(SWEEPS).end() == (0, "")
        assert exists(name)
    program.kill()
    assert start(SWEEPS).end() == (0, "")
    assert not exists(name)
    assert not records.exists()


def test_a_copy_of_the_process_keeps_the_block(start: Start, records: Path) -> None:
    """os.fork() makes one that outlives its parent; it can use the block, and create others."""
    program = start(
        "import os, sys\n"
        "from procession.shared_memory import SharedMemory\n"
        "block = SharedMemory(create=True, size=10)\n"
        "print(block.name, flush=True)\n"
        "if os.fork() == 0:\n"
        "    print(os.getpid(), flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(bytes(SharedMemory(block.name).buf) == bytes(block.buf), flush=True)\n"
        "    more = SharedMemory(create=True, size=10)\n"
        "    print(more.name, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    exit()\n"
        "os.wait()\n"
    )
    name, _ = program.hear(), program.hear()
    program.kill()
    start(SWEEPS).end()
    assert exists(name)
    program.say()
    assert program.hear() == "True"
    more = program.hear()
    start(SWEEPS).end()
    assert exists(more)
    _, errors = program.end()
    assert "There appear to be 2 leaked" in errors
    assert not exists(name)
    assert not exists(more)
    assert not records.exists()


def test_a_forked_childs_end_is_not_the_familys(start: Start) -> None:
    program = start(
        "import os\n"
        "from procession import get_context\n"
        "from procession.shared_memory import SharedMemory\n"
        "block = SharedMemory(create=True, size=10)\n"
        "children = [get_context('fork').Process(target=end) for end in (int, os.abort)]\n"
        "for child in children:\n"
        "    child.start()\n"
        "    child.join()\n"
        "if os.fork() == 0:\n"
        "    exit()\n"
        "os.wait()\n"
        "SharedMemory(block.name).close()\n"
        "block.unlink()\n"
    )
    assert program.end() == (0, "")


def test_a_program_may_close_descriptors_that_it_does_not_know(start: Start, records: Path) -> None:
    program = start(
        "import os, sys\n"
        "from procession.shared_memory import SharedMemory\n"
        "blocks = [SharedMemory(create=True, size=10)]\n"
        "os.closerange(3, 100)\n"
        "file = [open(os.devnull) for _ in range(20)]\n"
        "blocks.append(SharedMemory(create=True, size=10))\n"
        "print(*(block.name for block in blocks), flush=True)\n"
        "sys.stdin.readline()\n"
        "for block in blocks:\n"
        "    block._fd = -1\n"
        "    block.unlink()\n"
    )
    names = program.hear().split()
    start(SWEEPS).end()
    assert [*map(exists, names)] == [True, True]
    assert program.end() == (0, "")
    assert not records.exists()


def test_no_process_is_started(start: Start) -> None:
    program = start(CREATES + "block.unlink()\n")
    program.hear()
    pid = program.process.pid
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    assert program.end() == (0, "")
