"""Lists in shared memory: as the standard library has them, byte for byte."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession.shared_memory import ShareableList
from tests.plugins.scripts import RunScript

Make = Callable[..., ShareableList]
ITEMS = ["howdy", b"HoWdY", -273.154, 100, None, True, 42]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a list, whose block is closed and unlinked after the test."""
    lists: list[ShareableList] = []

    def make(*args: Any, **options: Any) -> ShareableList:
        lists.append(ShareableList(*args, **options))
        return lists[-1]

    yield make
    for one in lists:
        one.shm.close()
        one.shm.unlink()


def test_items(make: Make) -> None:
    numbers = make(ITEMS)
    assert [*numbers] == ITEMS
    assert len(numbers) == 7
    assert (numbers[0], numbers[-2], numbers[-7]) == ("howdy", True, "howdy")
    assert numbers[5] is True
    assert numbers.format == "8s8sdqxxxxxx?xxxxxxxx?q"
    assert repr(numbers) == f"ShareableList({ITEMS}, name={numbers.shm.name!r})"
    assert numbers.count(42) == 1
    assert numbers.count("HoWdY") == 0
    assert numbers.index(100) == 3
    assert None in numbers
    with pytest.raises(ValueError, match="'100' not in this container"):
        numbers.index("100")


def test_positions_out_of_range(make: Make) -> None:
    numbers = make([1, 2])
    for position in (2, -3, 100):
        with pytest.raises(IndexError, match="^index out of range$"):
            numbers[position]
        with pytest.raises(IndexError, match="^assignment index out of range$"):
            numbers[position] = 1
        with pytest.raises(IndexError, match="Requested position out of range."):
            numbers._get_packing_format(position)


def test_items_are_replaced(make: Make) -> None:
    items = make(ITEMS)
    items[3] = 43
    items[4] = "some"
    items[-1] = None
    assert [*items] == ["howdy", b"HoWdY", -273.154, 43, "some", True, None]
    assert items.format == "8s8sdq8sxxxxxxx?xxxxxx?x"
    items[0] = "encodés"  # 8 bytes
    with pytest.raises(ValueError, match="bytes/str item exceeds available storage"):
        items[0] = "encodées"
    with pytest.raises(ValueError, match="bytes/str item exceeds available storage"):
        items[1] = b"123456789"
    assert items[0] == "encodés"
    items[0] = 1.5
    items[0] = b"bytes"
    assert items[0] == b"bytes"


def test_what_can_not_be_an_item_changes_nothing(make: Make) -> None:
    items = make(["text", 1])
    with pytest.raises(KeyError, match="<class 'list'>"):
        items[0] = []
    with pytest.raises(struct.error):
        items[0] = 1 << 64
    assert [*items] == ["text", 1]
    unfit: list[list[Any]] = [[[]], [1 << 64], [b"x" * 10_000_000]]
    for wrong in unfit:
        with pytest.raises((KeyError, struct.error, ValueError)):
            ShareableList(wrong)  # what it leaves, the leak check finds


def test_empty_lists(make: Make) -> None:
    for empty in (make(), make([]), make(None)):
        assert len(empty) == 0
        assert [*empty] == []
        assert empty.format == ""
        assert empty.count(None) == 0
        with pytest.raises(ValueError, match="None not in this container"):
            empty.index(None)


def test_any_iterable_makes_a_list(make: Make) -> None:
    assert [*make(range(3))] == [0, 1, 2]
    assert [*make(str(number) for number in range(3))] == ["0", "1", "2"]
    assert [*make("howdy")] == [*"howdy"]


def test_a_copy_under_a_name_is_another_list(make: Make) -> None:
    first = make(["encodés", 2])
    first[0] = "encodés"
    second = make(first, name=f"{first.shm.name}-copy")
    assert second.shm.name == f"{first.shm.name}-copy"
    assert second.format == first.format
    second[1] = 3
    assert first[1] == 2
    third = ShareableList(name=first.shm.name)
    third[1] = 4
    assert first[1] == 4
    with pytest.raises(FileNotFoundError):
        ShareableList(name="procession-no-such-list")
    generic: Any = ShareableList
    assert generic[int].__origin__ is ShareableList


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_travels_as_its_name(make: Make, protocol: int) -> None:
    first, larger = make(range(10)), make(range(400))
    packed = pickle.dumps(first, protocol)
    assert len(packed) == len(pickle.dumps(larger, protocol))
    second = pickle.loads(packed)
    second[4] = "changed"
    assert first[4] == "changed"


LIES = """
import sys
from multiprocessing import shared_memory as theirs
from procession.shared_memory import ShareableList

for items in (ITEMS, [], ["", b"", "1234567", "12345678", b"x" * 100], ["\\u00e9"]):
    ours, standard = ShareableList(items), theirs.ShareableList(items)
    print(bytes(ours.shm.buf) == bytes(standard.shm.buf), end=" ")
    other = ShareableList(name=standard.shm.name)
    print([*other] == [*standard] == items, end=" ")
    for position, item in enumerate(reversed(items)):
        if not isinstance(item, (str, bytes)) or not item:
            ours[position] = standard[position] = item
    print(bytes(ours.shm.buf) == bytes(standard.shm.buf))
    for one in (ours, standard):
        one.shm.close()
        one.shm.unlink()
""".replace("ITEMS", repr(ITEMS))


def test_it_lies_as_the_standard_librarys(run_script: RunScript) -> None:
    done = run_script(LIES)
    assert (done.stdout, done.stderr) == ("True True True\n" * 4, "")


def test_a_text_is_whole_whatever_its_letters(make: Make) -> None:
    assert make(["é" * 100])[0] == "é" * 100


def test_the_standard_librarys_processes_see_it(run_script: RunScript, make: Make) -> None:
    items = make(ITEMS)
    done = run_script(
        "import sys\n"
        "from multiprocessing import shared_memory, resource_tracker\n"
        "items = shared_memory.ShareableList(name=sys.argv[1])\n"
        "resource_tracker.unregister(items.shm._name, 'shared_memory')\n"
        "print([*items])\n"
        "items[0] = 'changed'\n",
        items.shm.name,
    )
    assert (done.stdout, done.stderr) == (f"{ITEMS}\n", "")
    assert items[0] == "changed"
