"""Options: what can be asked for, and what can not."""

from __future__ import annotations

import dataclasses
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from procession._engine.options import ERRORS, NAMES, ON_DEATH, PLAIN, Options

GOOD: dict[str, list[Any]] = {
    "timeout": [None, 1, 0.001, 1e9],
    "retries": [0, 1, 1000],
    "on_death": [None, *ON_DEATH],
    "errors": [*ERRORS],
    "max_in_flight": [None, 1, 10**9],
    "max_bytes": [None, 1, 1 << 40],
    "ordered": [True, False],
    "progress": [False, True, "words", None],
    "journal": [None, "run.sqlite", Path("run.sqlite"), {"path": "x", "changed": "keep"}],
    "star": [True, False],
    "name": [None, "", "a name"],
}

BAD: dict[str, list[Any]] = {
    "timeout": [0, -1, math.nan, math.inf, -math.inf, 10**400, True, "1", [1], 1j],
    "grace": [-1, math.nan, math.inf, False, "1"],
    "retries": [-1, 1.5, True, "1", None],
    "on_death": ["ignore", "", 1, True],
    "errors": ["ignore", None, "", True, "RAISE"],
    "max_in_flight": [0, -1, 1.0, True, "1"],
    "max_bytes": [0, -1, 1.0, False, b"1"],
    "ordered": [1, 0, None, "no"],
    "journal": [1, b"x", {}, {"path": 1}, {"path": "x", "more": 1}, {"path": None}],
    "star": [1, None, "yes"],
    "name": [1, b"name", ["name"]],
}


def test_each_option_is_named() -> None:
    assert set(NAMES) == {field.name for field in dataclasses.fields(Options) if field.init}
    assert GOOD.keys() | {"grace"} == set(NAMES)


@pytest.mark.parametrize(("name", "value"), [(name, one) for name in GOOD for one in GOOD[name]])
def test_what_can_be_asked_for(name: str, value: Any) -> None:
    assert getattr(Options(**{name: value}), name) == value
    assert getattr(PLAIN.changed(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), [(name, one) for name in BAD for one in BAD[name]])
def test_what_can_not(name: str, value: Any) -> None:
    given = {name: value} if name != "grace" else {"timeout": 1, name: value}
    with pytest.raises((TypeError, ValueError)) as caught:
        Options(**given)
    assert name in str(caught.value)
    if type(value) in (float, str) and name in ("retries", "max_in_flight", "max_bytes"):
        assert type(caught.value) is TypeError
        assert f"{name} must be a whole number" in str(caught.value)
    with pytest.raises(type(caught.value)):
        PLAIN.changed(**given)


@pytest.mark.parametrize("grace", [0, 0.5, 3])
def test_grace_needs_a_timeout(grace: float) -> None:
    assert Options(timeout=1, grace=grace).grace == grace
    with pytest.raises(ValueError, match="give a timeout"):
        Options(grace=grace)
    with pytest.raises(ValueError, match="give a timeout"):
        Options(timeout=1, grace=grace).changed(timeout=None)


@pytest.mark.parametrize("name", ["time_out", "is_plain", "chunksize", ""])
def test_an_unknown_option_is_told_with_those_that_there_are(name: str) -> None:
    with pytest.raises(TypeError, match="there are timeout, grace, retries"):
        PLAIN.changed(**{name: 1})


def test_changes_leave_the_rest_and_the_original_alone() -> None:
    first = Options(timeout=2, retries=3)
    second = first.changed(retries=1, errors="skip")
    assert (first.retries, first.errors) == (3, "raise")
    assert (second.timeout, second.retries, second.errors) == (2, 1, "skip")
    assert first.changed() is first
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.retries = 1  # type: ignore[misc]


def test_options_are_plain_where_nothing_has_to_be_looked_after() -> None:
    plain: list[dict[str, Any]] = [
        {},
        {"on_death": "fail"},
        {"errors": "skip"},
        {"name": "x", "star": True, "ordered": False, "progress": True},
    ]
    for words in plain:
        assert Options(**words).is_plain
    others: list[dict[str, Any]] = [
        {"timeout": 1},
        {"retries": 1},
        {"on_death": "retry"},
        {"on_death": "break"},
        {"max_in_flight": 1},
        {"max_bytes": 1},
    ]
    for words in others:
        assert not Options(**words).is_plain
        assert not PLAIN.changed(**words).is_plain
        assert Options(**words).changed(**{name: getattr(PLAIN, name) for name in words}).is_plain


def test_options_compare_by_what_they_say_and_travel() -> None:
    assert Options(timeout=1, name="a") == Options(timeout=1, name="a") != Options(timeout=2)
    assert pickle.loads(pickle.dumps(Options(timeout=1, retries=2))) == Options(
        timeout=1, retries=2
    )
