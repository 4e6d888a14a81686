"""``Entry``: attributes like those of any class, in the core's hands."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from procession._core import Entry

SET = ("answer", "attend", "block", "callback", "_decoded", "error_callback")
GIVEN = ("_owner", "function", "options")
LATER = ("kind", "number", "payload", "position", "sent")


class Kept(Entry):
    """One that may be referred to weakly."""

    __slots__ = ("__weakref__",)


def test_it_begins_unsent_and_nobody_is_to_be_told() -> None:
    entry = Kept("owner", abs, "options")
    assert [getattr(entry, name) for name in GIVEN] == ["owner", abs, "options"]
    assert [getattr(entry, name) for name in SET] == [None, False, None, None, None, None]
    assert not any(hasattr(entry, name) for name in LATER)


@pytest.mark.parametrize("name", [*SET, *GIVEN, *LATER])
def test_each_attribute_is_one_of_its_own(name: str) -> None:
    entry, value = Kept(1, 2, 3), object()
    before = {other: getattr(entry, other, "none") for other in (*SET, *GIVEN, *LATER)}
    setattr(entry, name, value)
    assert getattr(entry, name) is value
    delattr(entry, name)
    with pytest.raises(AttributeError, match=name):
        getattr(entry, name)
    del before[name]
    assert {other: getattr(entry, other, "none") for other in before} == before


@pytest.mark.parametrize("name", [*SET, *GIVEN, *LATER])
def test_one_that_leads_to_itself_is_collected(name: str) -> None:
    entry = Kept(1, 2, 3)
    gone = weakref.ref(entry)
    setattr(entry, name, [entry])
    del entry
    gc.collect()
    assert gone() is None


def test_what_it_has_ends_with_it() -> None:
    value = Kept(1, 2, 3)
    gone = weakref.ref(value)
    entry = Kept(value, value, value)
    entry.answer = entry.sent = value
    del value
    assert gone() is not None
    del entry
    assert gone() is None


def test_a_long_chain_is_taken_apart() -> None:
    entry = Kept(None, None, None)
    for _ in range(200_000):
        entry = Kept(entry, None, None)
    del entry


@pytest.mark.parametrize("arguments", [(), (1, 2), (1, 2, 3, 4)])
def test_bad_arguments_are_refused(arguments: Any) -> None:
    with pytest.raises(TypeError, match=r"Entry\(owner, function, options\)"):
        Kept(*arguments)


def test_it_is_a_base_only() -> None:
    with pytest.raises(TypeError, match="make a class of it"):
        Entry(1, 2, 3)
