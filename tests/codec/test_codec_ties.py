"""What of several objects is tied, by a part that they have in common."""

from __future__ import annotations

import copyreg
import dataclasses
import pickle
import sys
import types
from collections import defaultdict, namedtuple
from decimal import Decimal
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec.objects import reducers
from procession._codec.ties import are_untied, is_unchanging

np = pytest.importorskip("numpy")

Pair = namedtuple("Pair", "one other")  # noqa: PYI024


class Plain:
    def __init__(self, part: Any = None) -> None:
        self.part = part


@dataclasses.dataclass
class Record:
    name: str
    parts: list[Any]


class Slotted:
    __slots__ = ("part",)

    def __init__(self) -> None:
        self.part = 1


class Reduced(Plain):
    def __reduce__(self) -> Any:
        return Plain, (self.part,)


class Restored(Plain):
    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)


class Made(Plain):
    def __new__(cls, *_: Any) -> Self:
        return super().__new__(cls)


class Registered(Plain):
    pass


class Listed(list[Any]):
    pass


class Proxy(Plain):
    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)


class Watched(Plain):
    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__(name)


class Disguised(Plain):
    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return {}


class PlainKey:
    def __hash__(self) -> int:
        return 1


class AllEqual(type):
    def __eq__(cls, other: object) -> bool:
        return True

    def __hash__(cls) -> int:
        return 1


class One(metaclass=AllEqual):
    def __init__(self, part: Any = None) -> None:
        self.part = part


class Other(One):
    pass


def _from_nowhere() -> Any:
    """Of a class that nobody can import."""
    module = types.ModuleType("procession_made_here")
    exec("class Here:\n    pass", vars(module))
    sys.modules[module.__name__] = module
    return module.Here()


SEPARATE: list[Any] = [
    [1, 2, 3],
    [1.5, "a", None, True, b"b", 1j],
    [(1, ("a", (2,))), (2, ())],
    [[1], [1], []],
    [{"a": [1]}, {"a": [1]}],
    [{1}, {1}, frozenset({(1, 2)})],
    [Plain(), Plain([1]), Plain({"a": Plain()})],
    [Record("a", [1]), Record("a", [1])],
    [bytearray(b"a"), bytearray(b"a")],
    [np.zeros(3), np.zeros(3), np.int64(3), np.float32(1)],
    [([np.zeros(3)], 1), ([np.zeros(3)], 2)],
]


@pytest.mark.parametrize("objects", SEPARATE)
def test_what_has_nothing_in_common(objects: list[Any]) -> None:
    assert are_untied(objects)


def _tied() -> list[list[Any]]:
    part: list[Any] = [1]
    array, plain, text = np.zeros(3), Plain(), bytearray(b"a")
    return [
        [part, part],
        [(part, 1), (part, 2)],
        [part, [part]],
        [[[part]], part],
        [{"a": part}, {"b": part}],
        [Plain(part), Plain(part)],
        [Plain(part), part],
        [plain, plain],
        [{1: plain}, {2: plain}],
        [array, array],
        [(array,), [array]],
        [text, text],
        [(part,)] * 2,
    ]


@pytest.mark.parametrize("objects", _tied())
def test_what_has_a_part_in_common(objects: list[Any]) -> None:
    assert not are_untied(objects)


@pytest.mark.parametrize(
    "make",
    [
        Slotted,
        Reduced,
        Restored,
        Made,
        Listed,
        Proxy,
        Watched,
        Disguised,
        One,
        _from_nowhere,
        object,
        lambda: Decimal(1),
        lambda: defaultdict(int),
        lambda: Pair(1, 2),
        lambda: np.zeros(1, object),
        lambda: np.zeros(1, "i4,i4")[0],
        lambda: np.ma.zeros(3),
        lambda: np.zeros(3, "i4,i4"),
        lambda: np.zeros(3, np.dtype("i4", metadata={"a": 1})),
        lambda: memoryview(b"a"),
        lambda: {PlainKey()},
        lambda: {PlainKey(): 1},
        lambda: frozenset({(1, PlainKey())}),
        lambda: pytest,
    ],
)
def test_what_is_not_known_is_taken_for_tied(make: Any) -> None:
    assert not are_untied([1, make(), make()])
    assert not are_untied([[1], [make()]])


def test_a_way_of_pickling_that_was_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert are_untied([Registered(), Registered()])
    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda one: (Registered, ()))
    assert not are_untied([Registered(), Registered()])


@pytest.mark.parametrize("owner", [copyreg, reducers])
def test_arrays_with_a_way_of_their_own(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "dispatch_table" if owner is copyreg else "table"
    table = {np.ndarray: lambda array: (np.zeros, (1,))}
    monkeypatch.setattr(owner, name, table)
    assert not are_untied([np.zeros(3), np.zeros(3)])


def test_types_that_say_they_are_equal() -> None:
    part = [1]
    assert not are_untied([One(), Other(part), Other(part)])


@pytest.mark.parametrize(
    "value", [None, True, 1, 2.5, 1j, "a", b"a", range(3), (), (1, ("a", (2,))), np.int64(1)]
)
def test_what_never_changes(value: Any) -> None:
    assert is_unchanging(value)


@pytest.mark.parametrize("value", [[], (1, []), {}, set(), bytearray(), Plain(), np.zeros(1)])
def test_what_may_change(value: Any) -> None:
    assert not is_unchanging(value)


def test_no_long_look() -> None:
    kinds = [type(f"Kind{number}", (), {}) for number in range(17)]
    assert not are_untied([kind() for kind in kinds])
    assert are_untied([list(range(15)), []])
    assert not are_untied([list(range(1000)), []])
    for many in (set(range(17)), frozenset(range(17)), dict.fromkeys(range(17))):
        assert not are_untied([many, 1])
    deep: list[Any] = []
    for _ in range(5):
        deep = [deep]
    assert not are_untied([deep])


def _changeable(value: Any, found: set[int]) -> set[int]:
    """The ids of all that could be changed in it."""
    if isinstance(value, (list, dict, bytearray, Plain)):
        if id(value) in found:
            return found
        found.add(id(value))
    parts: Any = ()
    if isinstance(value, (list, tuple)):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, Plain):
        parts = [value.part]
    for part in parts:
        _changeable(part, found)
    return found


LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.builds(bytearray))


def _grown(parts: list[Any], draw: Any) -> Any:
    """An object of some of the parts."""
    some = draw(st.lists(st.sampled_from(parts), max_size=3))
    make = draw(st.sampled_from([list, tuple, lambda some: dict(enumerate(some)), Plain]))
    return make(some)


@given(st.data())
def test_what_is_untied_has_no_part_in_common(data: st.DataObject) -> None:
    parts = data.draw(st.lists(LEAVES, min_size=1, max_size=4))
    for _ in range(data.draw(st.integers(0, 5))):
        parts.append(_grown(parts, data.draw))
    objects = data.draw(st.lists(st.sampled_from(parts), min_size=1, max_size=4))
    arrived = pickle.loads(pickle.dumps(objects, 5))
    sets = [_changeable(one, set()) for one in arrived]
    if are_untied(objects):
        assert sum(map(len, sets)) == len(set().union(*sets))
