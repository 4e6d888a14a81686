"""Plain pickle that gives up where something is to travel apart."""

from __future__ import annotations

import array
import pickle
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession import _core
from procession._core import LEAST_APART, Memory, quick_dumps
from tests.binding.places import blocks


class Thing:
    """Something with attributes."""

    size = 0

    def __init__(self, **what: Any) -> None:
        self.__dict__.update(what)


class Emitter:
    """Something that hands its bytes over as a buffer, where it may."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Emitter, (pickle.PickleBuffer(self.buffer),)


class Heavy:
    """Something that tells how large it is, and whose pickle does not show it."""

    looks = 0

    def __init__(self, nbytes: Any) -> None:
        self._nbytes = nbytes

    @property
    def nbytes(self) -> Any:
        type(self).looks += 1
        if isinstance(self._nbytes, Exception):
            raise self._nbytes
        return self._nbytes


@pytest.fixture
def heavy() -> Iterator[dict[type, Any]]:
    """The types that are looked at during this test."""
    types: dict[type, Any] = {}
    before = _core.heavy_types(types)
    yield types
    assert _core.heavy_types(before) is types


def plain(value: object) -> bytes:
    return pickle.dumps(value, 5)


def complaint(dumps: Callable[[object], object], value: object) -> str:
    """What it says about a value that it can not pickle. The error itself does not stay: CPython
    before 3.13 crashes where a circle of references has a PickleBuffer of a memoryview in it."""
    try:
        dumps(value)
    except Exception as error:
        return repr(error)
    raise AssertionError("it was pickled")


def nested(value: object, deep: int) -> object:
    for level in range(deep):
        value = ([value], (1, value), {"key": value}, Thing(value=value))[level % 4]
    return value


# ---- what is small


small = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.binary(max_size=50)
    | st.binary(max_size=50).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(small)
def test_what_is_small_is_a_plain_pickle(value: object) -> None:
    assert quick_dumps(value) == plain(value)


@pytest.mark.parametrize(
    "value",
    [
        list(range(200_000)),
        [str(number) for number in range(50_000)],
        [(number, bytes([number % 250]) * 1000) for number in range(1000)],
        {number: "y" * number for number in range(2000)},
        [bytes(LEAST_APART - 1)] * 3,
        [bytes([number]) * 60_000 for number in range(9)],
    ],
    ids=["numbers", "texts", "pairs", "dict", "the same", "pieces"],
)
def test_many_small_things_are_a_plain_pickle(value: object) -> None:
    made = quick_dumps(value)
    assert made is not None
    assert len(made) > LEAST_APART
    assert made == plain(value)


def test_equal_objects_are_one_in_it() -> None:
    shared = ["a"]
    one, other = pickle.loads(quick_dumps((shared, shared)) or b"")
    assert one is other


# ---- what is large

KINDS: dict[str, Callable[[int], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "text": lambda size: "x" * size,
    "wide text": lambda size: "\u20ac" * (size // 3 + 1),
}


@pytest.mark.parametrize("deep", range(9))
@pytest.mark.parametrize("kind", KINDS)
def test_large_bytes_are_found_however_deep(kind: str, deep: int) -> None:
    large = KINDS[kind](LEAST_APART)
    assert quick_dumps(nested(large, deep)) is None
    less = KINDS[kind](LEAST_APART - 4)
    assert quick_dumps(nested(less, deep)) == plain(nested(less, deep))


@pytest.mark.parametrize("place", [0, 1, 7, 8, 9, 100, 5000, 19_999])
def test_large_bytes_are_found_among_many(place: int) -> None:
    things: list[Any] = list(range(20_000))
    things[place] = bytes(LEAST_APART)
    for value in (things, tuple(things), dict(enumerate(things)), Thing(all=things)):
        assert quick_dumps(value) is None


@given(st.lists(st.integers(0, 2 * LEAST_APART), max_size=6), st.integers(0, 300))
def test_the_limit_is_exact_behind_whatever_came_before(sizes: list[int], more: int) -> None:
    value = [[], [Thing(inner=[bytes([0x95]) * size, "B" * more, [more]]) for size in sizes]]
    made = quick_dumps(value)
    if any(size >= LEAST_APART for size in sizes):
        assert made is None
    else:
        assert made == plain(value)


def test_what_looks_like_a_head_of_large_bytes_is_none() -> None:
    likeness = b"".join(
        opcode + struct.pack("<Q", 1 << 20) for opcode in (b"B", b"X", b"\x8e", b"\x8d", b"\x96")
    )
    value = [likeness * 100 for _ in range(20)]
    value = [bytes(part) for part in value]
    assert quick_dumps(value) == plain(value)


# ---- buffers


def test_small_buffers_are_in_it() -> None:
    for buffer in (b"abc", bytearray(1000), array.array("d", [1.0, 2.0])):
        assert quick_dumps(Emitter(buffer)) == plain(Emitter(buffer))


@pytest.mark.parametrize("deep", range(6))
def test_large_buffers_are_found(deep: int, heavy: dict[type, Any]) -> None:
    heavy[Emitter] = None  # so that buffers are looked at while they are met
    for make in (bytes, bytearray):
        assert quick_dumps(nested(Emitter(make(LEAST_APART)), deep)) is None
        less = nested(Emitter(make(LEAST_APART - 1)), deep)
        assert quick_dumps(less) == plain(less)


def test_large_buffers_of_types_nobody_named_are_found_too(heavy: dict[type, Any]) -> None:
    for make in (bytes, bytearray):
        assert quick_dumps([Emitter(make(LEAST_APART))]) is None
    assert not heavy


@pytest.mark.parametrize("deep", range(6))
def test_buffers_in_frozen_memory_are_found_from_a_page_on(deep: int) -> None:
    memory = Memory.holding([bytes(100_000)])
    view = memoryview(memory)
    written = nested(Emitter(view[10:5000]), deep)
    assert quick_dumps(written) == plain(written)
    memory.freeze()
    view = memoryview(memory)
    assert quick_dumps(nested(Emitter(view[10 : 10 + 4096]), deep)) is None
    less = nested(Emitter(view[10 : 10 + 4095]), deep)
    assert quick_dumps(less) == plain(less)


def test_a_buffer_with_gaps_fails_as_it_does_in_plain_pickle(heavy: dict[type, Any]) -> None:
    heavy[int] = None
    value = [pickle.PickleBuffer(memoryview(bytes(1000))[::2])]
    assert "non-contiguous" in complaint(plain, value)
    assert complaint(quick_dumps, value) == complaint(plain, value)


# ---- heavy types


def test_instances_of_heavy_types_are_looked_at(heavy: dict[type, Any]) -> None:
    large, less = Heavy(LEAST_APART), Heavy(LEAST_APART - 1)
    assert quick_dumps(large) == plain(large)
    heavy[Heavy] = None
    shapes: list[Callable[[Any], Any]] = [
        lambda it: it,
        lambda it: [1, it],
        lambda it: ((it,), {}),
        lambda it: {"a": it},
    ]
    for shape in shapes:
        assert quick_dumps(shape(large)) is None
        assert quick_dumps(shape(less)) == plain(shape(less))
    del heavy[Heavy]
    assert quick_dumps(large) == plain(large)


def test_a_function_may_tell_their_size(heavy: dict[type, Any]) -> None:
    thing = Thing(size=LEAST_APART)
    heavy[Thing] = lambda it: it.size
    assert quick_dumps([thing]) is None
    thing.size -= 1
    assert quick_dumps([thing]) == plain([thing])
    heavy[Thing] = lambda it: 1 // 0
    assert quick_dumps([thing]) == plain([thing])


@pytest.mark.parametrize("within", [list, lambda items: dict(enumerate(items))])
def test_what_is_looked_into_stays_while_it_is(
    within: Callable[[list[Any]], Any], heavy: dict[type, Any]
) -> None:
    """The function that tells the size takes it out of the object that is pickled."""
    outer = [within([Thing(size=1), last := Thing()])]
    is_there = weakref.ref(last)
    del last

    def measure(thing: Thing) -> int:
        outer.clear()
        seen.append(is_there() is not None)
        return 0

    seen: list[bool] = []
    heavy[Thing] = measure
    quick_dumps(outer)
    assert seen[0]


@pytest.mark.parametrize("deep", [0, 1, 2])
def test_an_interrupt_meanwhile_ends_the_pickling(deep: int, heavy: dict[type, Any]) -> None:
    def measure(_: object) -> int:
        raise KeyboardInterrupt

    heavy[Thing] = measure
    value: Any = Thing()
    for level in range(deep):
        value = [value, 1] if level else {"value": value}
    with pytest.raises(KeyboardInterrupt):
        quick_dumps(value)


@pytest.mark.parametrize("nbytes", ["many", None, -1, 1.5, KeyError("nbytes"), 1 << 100])
def test_who_does_not_know_his_size_is_pickled(nbytes: Any, heavy: dict[type, Any]) -> None:
    heavy[Heavy] = None
    odd = Heavy(nbytes)
    if nbytes == 1 << 100:
        assert quick_dumps([odd]) is None
    else:
        assert quick_dumps([odd]) == plain([odd])


def test_few_are_looked_at(heavy: dict[type, Any]) -> None:
    heavy[Heavy] = None
    Heavy.looks = 0
    many = [[Heavy(1) for _ in range(100)] for _ in range(100)]
    assert quick_dumps(many) == plain(many)
    assert 0 < Heavy.looks <= 32


def test_what_is_called_may_change_what_is_looked_at(heavy: dict[type, Any]) -> None:
    def shorten(_: object) -> int:
        heavy.clear()
        things.clear()
        return 0

    things: list[Any] = [Thing(), Thing(), Thing()]
    heavy[Thing] = shorten
    assert quick_dumps(things) == plain([])
    assert not heavy


def test_heavy_types_are_a_dict(heavy: dict[type, Any]) -> None:
    wrong: list[Any] = [None, [int], set()]
    for types in wrong:
        with pytest.raises(TypeError, match="dict"):
            _core.heavy_types(types)
    assert not heavy


# ---- failures, and pins


def test_what_can_not_be_pickled_is_said_as_pickle_says_it() -> None:
    for value in (lambda: 1, [threading.Lock()], Thing(inner=memoryview(b"abc"))):
        assert complaint(quick_dumps, value) == complaint(plain, value)


@pytest.mark.parametrize("rest", [bytes(LEAST_APART), threading.Lock(), "emitter"])
def test_who_gives_up_has_pinned_nothing(rest: Any, heavy: dict[type, Any]) -> None:
    heavy[Emitter] = None
    if rest == "emitter":
        rest = Emitter(bytes(LEAST_APART))
    before = blocks()
    memory = Memory.holding([bytes(10_000)])
    try:
        assert quick_dumps(Thing(memory=memory, rest=Thing(deeper=[rest]))) is None
    except TypeError:
        assert isinstance(rest, type(threading.Lock()))
    del memory
    assert blocks() == before


def test_what_is_pickled_has_pinned_it() -> None:
    before = blocks()
    memory = Memory.holding([bytes(10_000)])
    pickled = quick_dumps([memory])
    del memory
    assert pickled is not None
    assert blocks() == before + 1
    assert pickle.loads(pickled)[0].size == 10_000
    assert blocks() == before


class Inner:
    """Is pickled by pickling something else on the way."""

    def __reduce__(self) -> Any:
        assert quick_dumps([Thing(large=Emitter(bytes(LEAST_APART)))]) is None
        return Inner, ()


def test_one_within_another(heavy: dict[type, Any]) -> None:
    heavy[Emitter] = None
    assert quick_dumps([Inner()]) == plain([Inner()])


# ---- same_bytes


def test_the_same_bytes() -> None:
    one = bytes(range(256)) * 4096
    other = bytearray(one)
    assert _core.same_bytes(one, other)
    other[-1] ^= 1
    assert not _core.same_bytes(one, other)
    other[-1] ^= 1
    other[12345] ^= 1
    assert not _core.same_bytes(one, other)
    assert not _core.same_bytes(b"abc", b"abcd")
    assert _core.same_bytes(b"", bytearray())
    assert _core.same_bytes(array.array("q", [1]), struct.pack("=q", 1))
    with pytest.raises(BufferError):
        _core.same_bytes(memoryview(b"abcd")[::2], b"ac")
    with pytest.raises(TypeError):
        _core.same_bytes(b"", "")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.same_bytes("", b"")  # type: ignore[arg-type]
