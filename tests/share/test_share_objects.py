"""What share() returns: the object itself, equal, upon read-only views of frozen memory."""

from __future__ import annotations

import array
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import procession
from tests.share.places import describe, place, refuses_writes, shared_blocks

LARGE = 100_000


@dataclasses.dataclass
class Record:
    """Something of the user's."""

    samples: Any
    label: bytes = b""


class Point(NamedTuple):
    """A tuple of the user's."""

    x: Any
    y: Any


ARRAYS = {
    "floats": np.arange(LARGE, dtype=float),
    "bytes": np.arange(LARGE, dtype="u1"),
    "two dimensions": np.arange(LARGE).reshape(100, -1),
    "Fortran's order": np.asfortranarray(np.arange(LARGE).reshape(100, -1)),
    "strided": np.arange(2 * LARGE)[::2],
    "reversed": np.arange(LARGE)[::-1],
    "dates": np.arange(LARGE).astype("M8[s]"),
    "durations": np.arange(LARGE).astype("m8[ms]"),
    "fields": np.zeros(LARGE, dtype=[("a", "i4"), ("b", "f8")]),
    "other byte order": np.arange(LARGE, dtype=">i8"),
    "text": np.array(["shared"] * LARGE),
    "read-only": np.frombuffer(bytes(LARGE), "u1"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_is_an_array(kind: str) -> None:
    given = ARRAYS[kind]
    shared = procession.share(given)
    assert type(shared) is type(given)
    assert (shared.dtype, shared.shape) == (given.dtype, given.shape)
    assert shared.tobytes() == given.tobytes()
    assert place(shared) is not None
    assert refuses_writes(shared)
    assert given.base is None or not np.shares_memory(shared, given)


def test_what_was_given_is_its_owners() -> None:
    given = np.zeros(LARGE)
    shared = procession.share(given)
    given[:] = 1
    assert shared.sum() == 0


def test_a_masked_array() -> None:
    given = np.ma.masked_array(np.arange(LARGE), mask=np.arange(LARGE) % 3 == 0)
    shared = procession.share(given)
    assert type(shared) is type(given)
    assert (shared.mask == given.mask).all()
    assert shared.sum() == given.sum()
    assert place(shared.data) is not None
    assert place(shared.mask) is not None
    assert refuses_writes(shared.data)


def test_a_masked_array_of_records() -> None:
    given = np.ma.masked_array(np.zeros(LARGE, [("number", int), ("half", float)]))
    given["half"][5] = np.ma.masked
    shared = procession.share(given)
    assert (shared.mask == given.mask).all()
    assert place(shared.mask) is not None
    assert refuses_writes(shared.data)
    assert not shared.mask.flags.writeable


def _map(folder: Path) -> Any:
    np.save(folder / "file.npy", np.arange(LARGE))
    return np.load(folder / "file.npy", mmap_mode="r")


KINDS: dict[str, Callable[[Path], Any]] = {
    "map": _map,
    "part of a map": lambda folder: _map(folder)[5::3],
    "records": lambda _: ARRAYS["fields"].view(np.recarray),
    "matrix": lambda _: np.arange(LARGE).reshape(100, -1).view(np.matrix).T,
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_numpys(kind: str, tmp_path: Path) -> None:
    given = KINDS[kind](tmp_path)
    shared = procession.share(given)
    assert type(shared) is type(given)
    assert (shared.dtype, shared.dtype.type) == (given.dtype, given.dtype.type)
    assert (shared.shape, shared.tobytes()) == (given.shape, given.tobytes())
    assert place(np.asarray(shared)) is not None
    assert refuses_writes(shared)
    assert procession.share(shared) is shared
    assert shared_blocks() == 1
    with procession.Pool(1) as pool:
        assert pool.apply(describe, (shared,)) == describe(shared)
    del given
    assert shared_blocks() == 1


class Own(np.ndarray[Any, Any]):
    """An array of the user's."""


class Buffered(np.ndarray[Any, Any]):
    """An array of the user's that pickles a buffer."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return as_buffered, (np.asarray(self),)


def as_buffered(plain: Any) -> Any:
    """Build one."""
    return plain.view(Buffered)


def test_an_array_of_another_class_is_refused() -> None:
    given = np.arange(LARGE).view(Own)
    with pytest.raises(TypeError, match=r"test_share_objects\.Own can not be shared.*asarray\(x\)"):
        procession.share(given)
    assert shared_blocks() == 0
    assert place(procession.share(np.asarray(given))) is not None
    assert place(procession.share(given.view(Buffered))) is not None
    own, plain = procession.share((given, np.arange(LARGE)))
    assert type(own) is Own
    assert place(own) is None
    assert place(plain) is not None
    few, objects = np.arange(5).view(Own), np.array([None] * LARGE).view(Own)
    assert procession.share(few) is few
    assert procession.share(objects) is objects


def test_a_copy_can_be_written() -> None:
    shared = procession.share(np.zeros(LARGE))
    copy = shared.copy()
    copy[0] = 1
    assert place(copy) is None
    assert shared[0] == 0


@pytest.mark.parametrize(
    "given",
    [
        bytes(LARGE),
        bytearray(LARGE),
        memoryview(bytes(LARGE)),
        memoryview(bytearray(LARGE)),
        array.array("d", [1.5] * LARGE),
        memoryview(array.array("i", range(LARGE))),
        memoryview(array.array("i", range(LARGE)))[::2],
        memoryview(bytes(LARGE)).cast("B", (100, LARGE // 100)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_plain_bytes_become_read_only_views(given: Any) -> None:
    shared = procession.share(given)
    assert type(shared) is memoryview
    assert shared.readonly
    assert shared == given
    assert (shared.format, shared.shape) == (memoryview(given).format, memoryview(given).shape)
    assert place(shared) is not None


@pytest.mark.filterwarnings("ignore:.*'u'.*:DeprecationWarning")
def test_bytes_that_no_view_can_be_made_of_stay_what_they_are() -> None:
    text = array.array("u", "x" * LARGE)
    assert procession.share(text) == text
    shared = procession.share({"text": text, "bytes": bytes(LARGE)})
    assert shared["text"] == text
    assert type(shared["bytes"]) is memoryview
    with pytest.raises(TypeError, match="can not be pickled"):
        procession.share(np.zeros(LARGE, [("number", int)]).data)


def test_containers() -> None:
    samples, text = np.arange(LARGE), b"x" * LARGE
    given: Any = {
        "arrays": [samples, (samples + 1, [samples + 2])],
        "bytes": text,
        ("a", "key"): {"deeper": {1: [text]}},
        text: "a key",
        "few": [1, 2.5, "three", None],
    }
    shared = procession.share(given)
    assert [*shared] == [*given]
    first, (second, [third]) = shared["arrays"]
    for more, found in enumerate((first, second, third)):
        assert (found == samples + more).all()
        assert refuses_writes(found)
    places = [place(it) for it in (first, second, third, shared["bytes"])]
    assert len({found[0] for found in places if found is not None}) == 1
    assert len({*places}) == 4
    assert shared["bytes"] == text
    assert shared[("a", "key")]["deeper"][1][0] is shared["bytes"]
    assert shared[text] == "a key"
    assert shared["few"] == given["few"]
    assert shared_blocks() == 1


def test_sets() -> None:
    text, other = b"x" * LARGE, b"y" * LARGE
    shared: Any = procession.share(({text, other}, frozenset([text])))
    assert shared == ({text, other}, frozenset([text]))
    assert {type(it) for part in shared for it in part} == {memoryview}


def test_what_is_in_it_twice_is_shared_once() -> None:
    samples, text = np.arange(LARGE), bytes(LARGE)
    given: list[Any] = [samples, samples, text, [text]]
    one, other, third, fourth = procession.share(given)
    assert one is other
    assert third is fourth[0]
    assert procession.memory().kinds["shared"].bytes < samples.nbytes + 2 * len(text)


def test_containers_that_contain_themselves() -> None:
    given: list[Any] = [bytes(LARGE)]
    given.append((given, {"again": given}))
    shared: Any = procession.share(given)
    assert shared[1][0] is shared
    assert shared[1][1]["again"] is shared
    assert shared[0] == bytes(LARGE)


def test_objects_of_the_users() -> None:
    given = Record(np.arange(LARGE), b"x" * LARGE)
    shared = procession.share(given)
    assert type(shared) is Record
    assert place(shared.samples) is not None
    # A class that keeps bytes expects bytes.
    assert shared.label == given.label
    assert type(shared.label) is bytes


def test_named_tuples() -> None:
    shared = procession.share(Point(np.arange(LARGE), 5))
    assert type(shared) is Point
    assert shared.y == 5
    assert place(shared.x) is not None


def test_a_function_with_what_it_captured() -> None:
    samples = np.arange(LARGE)

    def pick(index: int) -> int:
        return int(samples[index])

    shared = procession.share(pick)
    assert shared(77) == 77
    (cell,) = shared.__closure__ or ()
    assert place(cell.cell_contents) is not None


@pytest.mark.parametrize(
    "given", [5, "text" * LARGE, None, b"few", [1, "two"], np.arange(10), {"a": (1.5, b"b")}]
)
def test_without_a_large_buffer_it_is_returned_as_it_is(given: Any) -> None:
    assert procession.share(given) is given
    assert shared_blocks() == 0


def test_small_ones_beside_a_large_one_are_left_alone() -> None:
    large, small, few = procession.share((np.arange(LARGE), np.arange(5), b"few"))
    assert refuses_writes(large)
    assert small.tolist() == [0, 1, 2, 3, 4]
    assert place(small) is None
    assert few == b"few"


@pytest.mark.parametrize("size", [4095, 4096])
def test_from_four_kib_on(size: int) -> None:
    assert (place(procession.share(np.zeros(size, "u1"))) is not None) == (size == 4096)
    assert isinstance(procession.share(bytes(size)), memoryview) == (size == 4096)


def test_sharing_what_is_shared_is_free() -> None:
    given: Any = {"samples": np.arange(LARGE), "bytes": bytes(LARGE)}
    shared = procession.share(given)
    assert procession.share(shared) is shared
    assert procession.share(shared["samples"]) is shared["samples"]
    part = shared["samples"][100 : LARGE // 2]
    assert procession.share(part) is part
    assert shared_blocks() == 1


def test_only_what_is_new_is_copied() -> None:
    old = procession.share(np.arange(LARGE))
    both = procession.share([old, np.arange(LARGE) + 1])
    assert place(both[0]) == place(old)
    assert place(both[1]) != place(old)
    assert both[1][0] == 1
    assert shared_blocks() == 2
    del old
    assert both[0].sum() == sum(range(LARGE))


def test_a_slice_that_is_not_contiguous_is_copied() -> None:
    shared = procession.share(np.arange(LARGE))
    assert place(procession.share(shared[::2])) != place(shared)


def test_it_lives_as_long_as_any_view() -> None:
    given: list[Any] = [np.arange(LARGE), bytes(LARGE)]
    shared = procession.share(given)
    part = shared[0][50:60].reshape(2, 5)[1]
    del shared
    assert shared_blocks() == 1
    assert part.tolist() == [55, 56, 57, 58, 59]
    del part
    assert shared_blocks() == 0


def test_what_can_not_be_pickled() -> None:
    with pytest.raises(TypeError, match="generator"):
        procession.share([bytes(LARGE), (n for n in range(3))])
    assert shared_blocks() == 0


def test_an_error_of_the_users() -> None:
    class Strange:
        def __reduce__(self) -> str:
            raise LookupError("strange")

    with pytest.raises(LookupError, match="strange"):
        procession.share([np.arange(LARGE), Strange()])
    assert shared_blocks() == 0


def test_handles_in_it_stay_what_they_are() -> None:
    lock, shared_value = procession.Lock(), procession.RawArray("d", LARGE)
    samples, same_lock, same_value = procession.share((np.arange(LARGE), lock, shared_value))
    assert place(samples) is not None
    with lock:
        assert not same_lock.acquire(block=False)
    shared_value[5] = 7.5
    assert same_value[5] == 7.5


def test_too_much_for_the_budget() -> None:
    before = procession.memory()
    many = np.zeros(1 << 28, "u1")
    with pytest.raises(procession.ArenaFull) as refused:
        procession.share([many[index:] for index in range((before.budget >> 28) + 2)])
    assert refused.value.asked > refused.value.budget == before.budget
    assert "memory=" in str(refused.value)
    assert procession.memory().in_use == before.in_use
