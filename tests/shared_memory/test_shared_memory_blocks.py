"""Blocks of named shared memory, as the standard library documents them."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest

from procession._named import segments
from procession.shared_memory import SharedMemory
from tests.plugins.scripts import RunScript

Create = Callable[..., SharedMemory]
METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def create() -> Iterator[Create]:
    """Create a block, which is closed and unlinked after the test."""
    blocks: list[SharedMemory] = []

    def create(name: str | None = None, size: int = 100, **options: Any) -> SharedMemory:
        blocks.append(SharedMemory(name, create=True, size=size, **options))
        return blocks[-1]

    yield create
    for block in blocks:
        block.close()
        if os.path.exists(f"/dev/shm/{block.name}"):
            block.unlink()


def test_a_block_is_known_by_its_name(create: Create) -> None:
    block = create(f"procession-test-{os.getpid()}", 5000)
    assert block.name == f"procession-test-{os.getpid()}"
    assert block.size == 5000
    assert len(block.buf) == 5000
    assert bytes(block.buf) == bytes(5000)
    assert repr(block) == f"SharedMemory('{block.name}', size=5000)"
    other = SharedMemory(block.name)
    other.buf[:3] = b"abc"
    assert bytes(block.buf[:4]) == b"abc\0"
    other.close()
    other.close()
    assert other.buf is None
    assert other.size == 5000


def test_a_name_may_have_its_slash(create: Create) -> None:
    block = create(f"/procession-test-{os.getpid()}")
    assert block.name == f"/procession-test-{os.getpid()}"
    SharedMemory(block.name[1:]).close()


def test_a_new_block_gets_a_name_that_is_free(
    create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"/psm_{os.getpid()}_{number}" for number in (1, 1, 2)]
    monkeypatch.setattr("procession.shared_memory._make_filename", iter(names).__next__)
    assert create().name == names[0][1:]
    assert create().name == names[2][1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"create": True, "size": -1}, "'size' must be a positive integer"),
        ({"name": "x", "size": -1}, "'size' must be a positive integer"),
        ({"create": True}, "'size' must be a positive number different from zero"),
        ({"name": "x", "create": True}, "'size' must be a positive number different from zero"),
        ({}, "'name' can only be None if create=True"),
        ({"name": "a\0b"}, "embedded null character"),
        ({"name": "a\0b", "create": True, "size": 1}, "embedded null character"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SharedMemory(**arguments)


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "Invalid argument"), ("a/b", "Invalid argument"), ("x" * 256, "File name too long")],
)
@pytest.mark.parametrize("create", [False, True])
def test_names_that_the_system_refuses_are_refused_in_its_words(
    name: str, message: str, create: bool
) -> None:
    with pytest.raises(OSError, match=message) as caught:
        SharedMemory(name, create=create, size=1)
    assert caught.value.filename == f"/{name}"


def test_a_name_that_is_in_use(create: Create) -> None:
    block = create()
    with pytest.raises(FileExistsError) as caught:
        SharedMemory(block.name, create=True, size=1 << 50)
    assert caught.value.filename == f"/{block.name}"


def test_a_name_that_is_in_use_at_the_last_moment(
    create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = create()
    monkeypatch.setattr(segments, "_check_free", lambda name: None)
    with pytest.raises(FileExistsError) as caught:
        SharedMemory(block.name, create=True, size=1)
    assert caught.value.filename == f"/{block.name}"
    SharedMemory(block.name).close()


def test_a_name_that_is_not_in_use(create: Create) -> None:
    block = create()
    packed = pickle.dumps(block)
    block.unlink()
    for attempt in (lambda: SharedMemory(block.name), block.unlink, lambda: pickle.loads(packed)):
        with pytest.raises(FileNotFoundError) as caught:
            attempt()
        assert caught.value.filename == f"/{block.name}"
    block.buf[0] = 1  # is there for those who have it


def test_more_than_there_is_room_for_is_an_error_at_once(create: Create) -> None:
    with pytest.raises(OSError, match=r"no room in /dev/shm for \d+ bytes .* \d+ of its") as caught:
        create(size=1 << 50)
    assert caught.value.errno == errno.ENOSPC


def test_all_of_a_block_is_reserved(create: Create) -> None:
    block = create(size=1 << 20)
    assert os.stat(f"/dev/shm/{block.name}").st_blocks * 512 == 1 << 20


def test_only_the_user_has_access(create: Create) -> None:
    assert os.stat(f"/dev/shm/{create().name}").st_mode & 0o777 == 0o600


def test_a_block_can_not_be_closed_while_it_is_viewed(create: Create) -> None:
    block = create()
    array = numpy.frombuffer(block.buf, numpy.uint8)
    array[7] = 42
    assert block.buf[7] == 42
    with pytest.raises(BufferError):
        block.close()
    part = block.buf[:10]
    del array
    with pytest.raises(BufferError):
        block.close()
    assert block.buf[7] == 42
    part.release()
    block.close()


def test_a_view_outlives_the_object(create: Create) -> None:
    block = create()
    other = SharedMemory(block.name)
    array: Any = numpy.ndarray(10, numpy.int64, other.buf)
    del other
    array[:] = range(10)
    other = SharedMemory(block.name)
    again: Any = numpy.ndarray(10, numpy.int64, other.buf)
    other.close()
    again[0] = 0
    numbers: Any = numpy.ndarray(10, numpy.int64, block.buf)
    assert numbers.sum() == 45
    del numbers


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_travels_as_its_name(create: Create, protocol: int) -> None:
    block = create()
    other = pickle.loads(pickle.dumps(block, protocol))
    assert (other.name, other.size) == (block.name, block.size)
    other.buf[0] = 5
    assert block.buf[0] == 5


USED_BY_CHILDREN = """
import sys
from procession import get_context
from procession.shared_memory import SharedMemory

def fill(block, name):
    block.buf[:5] = b"HELLO"
    other = SharedMemory(name)
    other.buf[5] = 33

def make():
    block = SharedMemory(create=True, size=3)
    block.buf[:] = b"abc"
    return block.name

if __name__ == "__main__":
    context = get_context(sys.argv[1])
    block = SharedMemory(create=True, size=6)
    child = context.Process(target=fill, args=(block, block.name))
    child.start()
    child.join()
    print(child.exitcode, bytes(block.buf), block.name == SharedMemory(block.name).name)
    block.unlink()
    pool = context.Pool(1)
    name = pool.apply(make)
    pool.close()
    pool.join()
    block = SharedMemory(name)
    print(bytes(block.buf))
    block.unlink()
"""


@pytest.mark.parametrize("method", METHODS)
def test_children_use_and_make_them(run_script: RunScript, method: str) -> None:
    done = run_script(USED_BY_CHILDREN, method)
    assert (done.stdout, done.stderr) == ("0 b'HELLO!' True\nb'abc'\n", "")


def test_the_standard_librarys_processes_see_it(run_script: RunScript, create: Create) -> None:
    block = create()
    done = run_script(
        "import sys\n"
        "from multiprocessing import shared_memory, resource_tracker\n"
        "block = shared_memory.SharedMemory(sys.argv[1])\n"
        "resource_tracker.unregister(block._name, 'shared_memory')\n"
        "print(block.size)\n"
        "block.buf[0] = 9\n",
        block.name,
    )
    assert (done.stdout, done.stderr) == ("100\n", "")
    assert block.buf[0] == 9


def test_the_standard_librarys_own_is_seen(run_script: RunScript) -> None:
    done = run_script(
        "from multiprocessing import shared_memory\n"
        "from procession.shared_memory import SharedMemory\n"
        "theirs = shared_memory.SharedMemory(create=True, size=10)\n"
        "ours = SharedMemory(theirs.name)\n"
        "ours.buf[3] = 3\n"
        "print(theirs.buf[3])\n"
        "ours.close()\n"
        "theirs.unlink()\n"
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_class_may_create_what_is_not_there(create: Create) -> None:
    class Optional(SharedMemory):
        _flags = os.O_CREAT | os.O_RDWR

    block = create()
    Optional(block.name).close()
    with pytest.raises(ValueError, match="empty"):
        Optional(f"{block.name}-more")
    os.unlink(f"/dev/shm/{block.name}-more")


def test_without_unnamed_files(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def refuse(path: str, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "none here")
        return really(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    block = create()
    block.buf[99] = 1
    with pytest.raises(FileExistsError):
        create(block.name)
    with pytest.raises(OSError, match="no room"):
        create(f"{block.name}-more", 1 << 50)
    assert not os.path.exists(f"/dev/shm/{block.name}-more")


def test_an_interrupt_at_its_creation_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.link

    def link(*args: Any, **options: Any) -> None:
        really(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(KeyboardInterrupt):
        SharedMemory(create=True, size=10)  # what it leaves, the leak check finds


def test_nothing_is_written_at_the_end_of_a_program(run_script: RunScript) -> None:
    done = run_script(
        "import sys, numpy, os\n"
        "from procession.shared_memory import SharedMemory, ShareableList\n"
        "block = SharedMemory(create=True, size=8)\n"
        "numbers = numpy.frombuffer(block.buf, numpy.int8)\n"
        "view = SharedMemory(block.name).buf\n"
        "names = ShareableList(['a', 'b'])\n"
        "names.shm.unlink()\n"
        "block.unlink()\n"
        "print('multiprocessing' in sys.modules, os.path.exists('/proc/self/task'))\n"
        "print(open(f'/proc/self/task/{os.getpid()}/children').read())\n"
    )
    assert done.stderr == ""
    assert done.stdout == "False True\n\n"
