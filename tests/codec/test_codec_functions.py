"""Functions travel once, and anew when they are not what they were."""

from __future__ import annotations

import functools
import math
import operator
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec import functions
from procession._codec.fingerprints import fingerprint
from procession._codec.functions import (
    FunctionCache,
    FunctionMissing,
    FunctionTable,
    Sent,
    travels_by_number,
)
from procession._codec.objects import dumps
from procession._core import Channel


class Blocks:
    """The part of a channel that is used here: blocks by number."""

    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}
        self.fetched: list[int] = []
        self._next = 100

    def publish(self, content: bytes) -> int:
        self._next += 1
        self.held[self._next] = bytes(content)
        return self._next

    def fetch(self, code: int) -> bytes:
        self.fetched.append(code)
        return self.held[code]

    def free(self, code: int) -> None:
        del self.held[code]


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


@pytest.fixture
def table(blocks: Blocks) -> FunctionTable:
    return FunctionTable(cast(Channel, blocks))


@pytest.fixture
def cache(blocks: Blocks) -> FunctionCache:
    return FunctionCache(cast(Channel, blocks))


def _published(table: FunctionTable, function: Any, **options: Any) -> Sent:
    sent = table.publish(function, 0, **options)
    assert sent is not None
    return sent


def _main(text: str) -> Any:
    """What `text` defines as ``f``, as if it stood in ``__main__``."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(text, scope)
    return scope["f"]


def double(x: int) -> int:
    return 2 * x


class Adder(NamedTuple):
    """A callable with a state that is a tuple, too."""

    number: int

    def __call__(self, other: int) -> int:
        return self.number + other


class Methods:
    def method(self) -> None: ...

    @classmethod
    def of_class(cls) -> None: ...

    @staticmethod
    def static() -> None: ...


# By name, by value


def test_an_importable_function_is_sent_by_name(
    blocks: Blocks, table: FunctionTable, cache: FunctionCache
) -> None:
    for function in (double, math.sqrt, len, int, Adder, Methods.static, Methods.method):
        sent = _published(table, function)
        assert cache.load(*sent) is function
        assert len(blocks.held[sent.code]) < 120
        assert table.find(function) == sent


def test_it_is_loaded_once(blocks: Blocks, table: FunctionTable, cache: FunctionCache) -> None:
    sent = _published(table, double)
    for _ in range(3):
        assert cache.load(*sent) is double
    assert blocks.fetched == [sent.code]


def test_lambdas_and_closures_are_sent_by_value(table: FunctionTable, cache: FunctionCache) -> None:
    def closure(n: int) -> Callable[[int], int]:
        return lambda x: x + n

    for function, expected in ((closure(3), 7), (closure(5), 9), (lambda x: -x, -4)):
        loaded = cache.load(*_published(table, function))
        assert loaded is not function
        assert loaded(4) == expected


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(double, 1),
        Methods().method,
        Methods.of_class,
        [].append,
        Adder(1),
        operator.itemgetter(1),
        functools.cache(double),
    ],
    ids=["partial", "method", "classmethod", "builtin method", "instance", "getter", "cache"],
)
def test_what_has_a_state_of_its_own_travels_with_each_call(
    blocks: Blocks, table: FunctionTable, function: Any
) -> None:
    assert not travels_by_number(function)
    assert table.publish(function, 0) is None
    assert not blocks.held


def test_what_can_not_be_pickled_says_why(blocks: Blocks, table: FunctionTable) -> None:
    stream = sys.stdout
    with pytest.raises(TypeError, match="cannot pickle"):
        table.publish(lambda: stream, 0)
    assert not blocks.held


def test_a_callable_that_is_a_tuple_is_taken_for_what_it_is(
    table: FunctionTable, cache: FunctionCache
) -> None:
    sent = table.publish_content(dumps(Adder(3)))
    assert cache.load(*sent)(4) == 7


# Changes on the side of the sender


def _is_sent_again(table: FunctionTable, function: Any, change: Callable[[], object]) -> bool:
    first = _published(table, function)
    assert table.find(function) == first
    change()
    return table.find(function) is None


def test_a_captured_variable_that_changes_is_noticed(
    table: FunctionTable, cache: FunctionCache
) -> None:
    n = 1000

    def change() -> None:
        nonlocal n
        n = 2000

    def function() -> int:
        return n

    assert cache.load(*_published(table, function))() == 1000
    assert _is_sent_again(table, function, change)
    assert cache.load(*_published(table, function))() == 2000


def test_a_captured_object_that_changes_within_is_noticed(
    table: FunctionTable, cache: FunctionCache
) -> None:
    numbers = [1]

    def function() -> list[int]:
        return numbers

    assert _is_sent_again(table, function, lambda: numbers.append(2))
    assert cache.load(*_published(table, function))() == [1, 2]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("n = 1000", "n = 1001"),
        ("n = 1000", "del n"),
        ("n = 'a', ('b', 1000)", "n = 'a', ('b', 1001)"),
        ("n = [1]", "n.append(2)"),
        ("class n: value = 1", "n.value = 2"),
        ("def n(): return 1", "def n(): return 2"),
        ("n = 1", "f.__defaults__ = (1,)"),
        ("n = 1", "f.__kwdefaults__ = {'y': 1}"),
        ("n = 1", "f.attribute = 1"),
        ("import math as n", "import cmath as n"),
        ("from math import sin as n", "from math import cos as n"),
    ],
)
@pytest.mark.parametrize("inside", ["n", "[n for _ in '1']", "(lambda: n)"])
def test_a_global_that_changes_is_noticed(
    table: FunctionTable, before: str, after: str, inside: str
) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(f"{before}\nf = lambda x=0, *, y=0: {inside}", scope)
    assert _is_sent_again(table, scope["f"], lambda: exec(after, scope))


def test_what_does_not_change_is_not_sent_again(table: FunctionTable) -> None:
    function = _main(
        "import math\nfrom operator import add\nn, t, s = 1, (1, ('x',)), 'text'\n"
        "f = lambda x, y=2, *, z=None: [add(x, math.pi + n + len(t) + len(s)) for _ in range(3)]"
    )
    sent = _published(table, function)
    for _ in range(3):
        assert table.find(function) == sent


# Changes between the sender and a worker that was forked earlier


@pytest.fixture
def main_name(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Makes ``__main__.f`` this."""

    def define(function: Any) -> None:
        monkeypatch.setattr(sys.modules["__main__"], "f", function, raising=False)

    return define


def test_a_function_of_main_is_sent_by_name(
    table: FunctionTable, cache: FunctionCache, main_name: Callable[[Any], None]
) -> None:
    function = _main("def f(x): return x")
    main_name(function)
    assert cache.load(*_published(table, function)) is function


CHANGES = {
    "code": ("def f(x): return x + 1", "def f(x): return x - 1"),
    "a constant": ("def f(x): return x + 1", "def f(x): return x + 2"),
    "a name": ("def f(x): return sin(x)", "def f(x): return cos(x)"),
    "a default": ("def f(x, y=1): return x", "def f(x, y=2): return x"),
    "a default for a keyword": ("def f(*, y=1): return y", "def f(*, y=2): return y"),
    "the kind of a parameter": ("def f(x, y=1): return y", "def f(x, *, y=1): return y"),
    "an inner function": (
        "def f(): return [(lambda: 1)(), (lambda: 1)()]",
        "def f(): return [(lambda: 2)(), (lambda: 2)()]",
    ),
    "a constant set": ("def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}"),
    "a decorated function": (
        "def d(g): return lambda x: g(x)\n@d\ndef f(x): return x",
        "def d(g): return lambda x: g(x)\n@d\ndef f(x): return -x",
    ),
    "a method": (
        "class f:\n    def m(self): return 1",
        "class f:\n    def m(self): return 2",
    ),
    "a class method": (
        "class f:\n    @classmethod\n    def m(self): return 1",
        "class f:\n    @classmethod\n    def m(self): return 2",
    ),
    "a property": (
        "class f:\n    @property\n    def m(self): return 1",
        "class f:\n    @property\n    def m(self): return 2",
    ),
    "the kind of a thing": ("def f(): pass", "class f: pass"),
}


def _renamed(function: Any) -> Any:
    function.__qualname__ = "f"  # a decorated one is called otherwise
    function.__name__ = "f"
    return function


@pytest.mark.parametrize("change", CHANGES)
def test_a_redefinition_that_a_worker_has_not_seen_is_noticed(
    blocks: Blocks,
    table: FunctionTable,
    cache: FunctionCache,
    main_name: Callable[[Any], None],
    change: str,
) -> None:
    old, new = (_renamed(_main(text)) for text in CHANGES[change])
    main_name(new)
    sent = _published(table, new)
    main_name(old)
    with pytest.raises(FunctionMissing):
        cache.load(*sent)
    main_name(new)
    by_value = _published(table, new, by_value=True)
    main_name(old)
    assert type(cache.load(*by_value)) is type(new)
    assert cache.load(*by_value) is not old


def test_a_function_that_a_worker_has_never_seen_is_missed(
    table: FunctionTable,
    cache: FunctionCache,
    main_name: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main_name(function := _main("def f(x): return x"))
    sent = _published(table, function)
    monkeypatch.delattr(sys.modules["__main__"], "f")
    with pytest.raises(FunctionMissing):
        cache.load(*sent)


def test_running_a_function_does_not_change_its_fingerprint() -> None:
    function = _main(
        "class f:\n"
        "    count = 0\n"
        "    made = []\n"
        "    def __init__(self, x=()): f.count += 1; f.made.append(self); f.last = self"
    )
    counted = _main(
        "def counted(g):\n"
        "    n = 0\n"
        "    def wrapper():\n"
        "        nonlocal n\n"
        "        n += 1\n"
        "        return g()\n"
        "    return wrapper\n"
        "@counted\n"
        "def f(): pass"
    )
    for called in (function, counted):
        before = fingerprint(called)
        called()
        assert fingerprint(called) == before


def test_a_fingerprint_ends_where_functions_hold_each_other() -> None:
    function = _main(
        "def make():\n    def f(): return g()\n    def g(): return f()\n    return f\nf = make()"
    )
    assert fingerprint(function) == fingerprint(function)
    recursive = _main("class f:\n    def m(self): pass\nf.inner = f")
    assert fingerprint(recursive) == fingerprint(recursive)


def test_a_fingerprint_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from procession._codec.functions import fingerprint\n"
        "def f(x, y=('a', 2), *, z='z'): return x in {'a', 'b', 'c', ('d', 'e')}, {'k': 1}\n"
        "class C:\n    def m(self): return f\n    n = property(m)\n"
        "print(fingerprint(f), fingerprint(C))\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


_CONSTANTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda parts: st.tuples(parts) | st.tuples(parts, parts) | st.frozensets(parts, max_size=3),
    max_leaves=6,
)


def _returning(constant: object) -> types.FunctionType:
    def function() -> None: ...

    code = function.__code__.replace(co_consts=(None, constant))
    return types.FunctionType(code, {})


@given(_CONSTANTS, _CONSTANTS)
def test_two_constants_have_two_fingerprints(one: object, other: object) -> None:
    same = repr(one) == repr(other)
    assert (fingerprint(_returning(one)) == fingerprint(_returning(other))) == same or (
        # The order in which equal sets show their parts is not always the same.
        one == other
    )


def test_what_has_no_code_has_no_fingerprint() -> None:
    for value in (len, math.sin, object()):
        assert fingerprint(value) == fingerprint(value)


# What is kept, and for how long


def test_a_block_is_freed_when_no_task_can_name_it(blocks: Blocks, table: FunctionTable) -> None:
    function = _main("f = lambda: 1")
    first = table.publish(function, 5)
    second = table.publish(function, 7)
    assert first is not None
    assert second is not None
    assert table.has_retired
    table.free_retired(oldest_task=7)
    assert set(blocks.held) == {first.code, second.code}
    table.free_retired(oldest_task=8)
    assert set(blocks.held) == {second.code}
    assert not table.has_retired
    table.free_all()
    assert not blocks.held


def test_each_side_keeps_so_many(
    blocks: Blocks,
    table: FunctionTable,
    cache: FunctionCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(functions, "KEPT_BY_SENDER", 3)
    monkeypatch.setattr(functions, "KEPT_BY_WORKER", 2)
    made = [_main(f"f = lambda: {n}") for n in range(8)]
    sent = [_published(table, function) for function in made]
    assert [table.find(function) is not None for function in made] == [False] * 5 + [True] * 3
    table.free_retired(oldest_task=1)
    assert len(blocks.held) == 3
    for index in (5, 6, 7, 5):
        assert cache.load(*sent[index])() == index
    assert len(blocks.fetched) == 4  # one of them was forgotten, and loaded again


def test_a_block_that_is_somebody_elses_now_is_told(
    blocks: Blocks, table: FunctionTable, cache: FunctionCache
) -> None:
    one, other = _published(table, double), _published(table, len)
    blocks.held[one.code] = blocks.held[other.code]
    with pytest.raises(FunctionMissing):
        cache.load(*one)
    blocks.held[one.code] = b""
    with pytest.raises(FunctionMissing):
        cache.load(*one)
