"""A callable with a state of its own, sent for one call over many items: by name, then by value."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable
from typing import Any, cast

import numpy
import pytest

from procession._codec.buffers import size_of
from procession._codec.functions import (
    FunctionCache,
    FunctionMissing,
    FunctionTable,
    Sent,
    dumps_for_one,
)
from procession._core import Channel
from tests.codec.test_codec_functions import Blocks


@pytest.fixture
def sides() -> tuple[FunctionTable, FunctionCache]:
    """A sender's table, and a worker's cache."""
    blocks = cast(Channel, Blocks())
    return FunctionTable(blocks), FunctionCache(blocks)


STATEFUL: dict[str, str] = {
    "a partial": "import functools\ndef g(x, y): return {}\nf = functools.partial(g, 7)",
    "a bound method": "class C:\n    def m(self, y): return {}\nf = C().m",
    "a method of a class": ("class C:\n    @classmethod\n    def m(cls, y): return {}\nf = C.m"),
    "a partial of a helper": (
        "import functools\ndef call(g, y): return g(y)\n"
        "def g(y): return {}\nf = functools.partial(call, g)"
    ),
    "an instance": "class C:\n    def __call__(self, y): return {}\nf = C()",
}


def _main_module(monkeypatch: pytest.MonkeyPatch, text: str) -> types.ModuleType:
    """A ``__main__`` in which that was run."""
    main = types.ModuleType("__main__")
    exec(text, vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    return main


@pytest.mark.parametrize("there", ["the same", "another", "none"])
@pytest.mark.parametrize("text", STATEFUL.values(), ids=STATEFUL)
def test_a_callable_with_a_state_is_missed_where_its_code_is_another(
    sides: tuple[FunctionTable, FunctionCache],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    there: str,
) -> None:
    table, cache = sides
    function = _main_module(monkeypatch, text.format("(y, 1)")).f
    by_name, by_value = (
        table.publish_content(dumps_for_one(function, by_value=value)) for value in (False, True)
    )
    worker = {"the same": text.format("(y, 1)"), "another": text.format("(y, 2)"), "none": ""}
    _main_module(monkeypatch, worker[there])
    ways: list[Callable[[Sent], Any]] = [
        lambda sent: cache.load(*sent),
        lambda sent: cache.maker(*sent)(),
    ]
    for load in ways:
        if there == "the same":
            assert load(by_name)(5) == (5, 1)
        else:
            with pytest.raises(FunctionMissing):
                load(by_name)
        assert load(by_value)(5) == (5, 1)


def test_a_callable_with_a_state_that_is_large_keeps_what_lies_apart(
    sides: tuple[FunctionTable, FunctionCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, cache = sides
    text = STATEFUL["an instance"].format("len(self.content)")
    main = _main_module(monkeypatch, text)
    main.f.content = numpy.zeros(1 << 18)
    content = dumps_for_one(main.f, by_value=False)
    assert size_of(content) > 1 << 20 > len(content)
    sent = table.publish_content(content)
    del content
    gc.collect()
    assert cache.load(*sent)(0) == 1 << 18


def test_an_error_of_its_own_is_not_taken_for_a_missing_name(
    sides: tuple[FunctionTable, FunctionCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, cache = sides
    text = STATEFUL["an instance"].format("1")
    fails = "\n    def __setstate__(self, state): raise AttributeError('mine')\nf = C()\nf.x = 1"
    function = _main_module(monkeypatch, text.replace("\nf = C()", fails)).f
    with pytest.raises(FunctionMissing):  # for all that can be told
        cache.load(*table.publish_content(dumps_for_one(function, by_value=False)))
    with pytest.raises(AttributeError, match="mine"):  # and this is final
        cache.load(*table.publish_content(dumps_for_one(function, by_value=True)))


def test_what_is_unpickled_as_something_else_is_not_compared(
    sides: tuple[FunctionTable, FunctionCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, cache = sides
    text = (
        "class Real:\n    def __call__(self, y): return y\n"
        "class C:\n    def __reduce__(self): return Real, ()\nf = C()"
    )
    function = _main_module(monkeypatch, text).f
    _main_module(monkeypatch, text)
    assert cache.load(*table.publish_content(dumps_for_one(function, by_value=False)))(5) == 5
