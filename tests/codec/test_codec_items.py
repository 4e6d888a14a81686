"""The items of a chunk that know nothing of one another."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from procession._codec.buffers import ItemRefused, dumps_items
from procession._codec.items import Items, joined, loads_items, since
from procession._codec.objects import dumps

np = pytest.importorskip("numpy")

LARGE = 100_000  # bytes; they travel apart


class Fails:
    """Can not be unpickled."""

    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise OSError("not here")


def _arrived(items: list[Any]) -> Any:
    payload = dumps_items(items, each=True)
    arrived = loads_items(payload)
    assert type(arrived) is Items
    return arrived


@pytest.mark.parametrize(
    "make",
    [
        lambda: [1],
        lambda: {"a": [1]},
        lambda: bytearray(LARGE),
        lambda: np.zeros(3, np.uint8),
        lambda: np.zeros(LARGE, np.uint8),
        lambda: ([1], np.zeros(LARGE, np.uint8), b"b" * LARGE, "c" * LARGE),
    ],
)
def test_each_has_for_itself_what_they_have_in_common(make: Any) -> None:
    part = make()
    arrived = [*_arrived([part, [part], part, (1, part)])]
    assert repr(arrived) == repr([part, [part], part, (1, part)])
    first, _, third, _ = arrived
    changed = first[0] if isinstance(first, tuple) else first
    if isinstance(changed, dict):
        changed["b"] = 2
    elif isinstance(changed, list):
        changed.append(2)
    else:
        changed[0] = 7
    assert repr(third) == repr(part)


def test_without_that_they_keep_it() -> None:
    part = [1]
    one, other = loads_items(dumps_items([part, part]))
    assert one is other


@pytest.mark.parametrize("first", range(4))
def test_some_of_them(first: int) -> None:
    part = [np.arange(LARGE, dtype=np.uint8), "a"]
    items = [(place, part if place != 2 else [place]) for place in range(4)]
    arrived = [*since(_arrived(items), first)]
    assert repr(arrived) == repr(items[first:])


def test_what_can_not_be_unpickled_fails_in_its_turn() -> None:
    part = np.zeros(LARGE, np.uint8)
    arrived = iter(_arrived([(0, part), (part, Fails(), part), (2, part)]))
    assert next(arrived)[0] == 0
    with pytest.raises(OSError, match="not here") as caught:
        next(arrived)
    assert [entry.name for entry in caught.traceback][1:] == ["_fail"]  # none of ours
    assert next(arrived)[0] == 2
    assert list(arrived) == []


def test_what_is_in_one_pickle_begins_anywhere() -> None:
    assert list(since(loads_items(dumps_items(["a", "b", "c"])), 1)) == ["b", "c"]
    assert list(since(loads_items(dumps_items([1, 2, 3])), 2)) == [3]


def test_a_word_in_the_pickles() -> None:
    arrived = loads_items(joined([dumps("here"), dumps(1)]))
    assert arrived.names(b"here")
    assert not arrived.names(b"there")


class Refuses:
    """Can not be pickled.

    Attributes:
        asked: how often it was tried.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def __reduce__(self) -> Any:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize("place", [0, 1, 3])
def test_those_before_one_that_is_refused_are_there(place: int) -> None:
    part = np.zeros(LARGE, np.uint8)
    refuses = Refuses(ValueError("stays here"))
    items: list[Any] = [(at, part) for at in range(4)]
    items[place] = refuses
    with pytest.raises(ItemRefused) as caught:
        dumps_items(items, each=True)
    refusal = caught.value.refusal
    assert (refusal.place, str(refusal.error), refuses.asked) == (place, "stays here", 1)
    arrived = loads_items(caught.value.payload)
    assert [at for at, _ in arrived] == list(range(place))


def test_an_interrupt_is_no_refusal() -> None:
    with pytest.raises(KeyboardInterrupt):
        dumps_items([[1], Refuses(KeyboardInterrupt())], each=True)


def test_who_keeps_the_error_in_a_circle_does_not_crash() -> None:
    # Before CPython 3.13 the garbage collector does, at a memoryview in it.
    def fail(items: list[Any]) -> None:
        keeper: dict[str, Any] = {}
        try:
            dumps_items(items, each=True)
        except (ItemRefused, KeyboardInterrupt) as error:
            keeper.update(error=error, keeper=keeper)

    for error in (ValueError(), KeyboardInterrupt()):
        for _ in range(10):
            fail([[memoryview(bytearray(LARGE))], bytearray(LARGE), Refuses(error)])
    gc.collect()
