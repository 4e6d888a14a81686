"""What calls and items are known by: the same in each run, and another one when they change."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import procession
from procession._journal.identity import digest_of, identify
from procession.pool import Pool
from tests.journal.counted import echo, square
from tests.journal.runs import Runs
from tests.plugins.scripts import script_environment


def _made(text: str, name: str = "f") -> Any:
    names: dict[str, Any] = {"__name__": "somewhere"}
    exec(text, names)
    return names[name]


def test_a_functions_code_is_what_it_does() -> None:
    first = identify(_made("def f(x):\n    return x + 1"))
    moved = identify(_made("\n\n\ndef f(x):\n    # a comment\n    return x + 1"))
    changed = identify(_made("def f(x):\n    return x + 2"))
    called = identify(_made("def f(x):\n    return x.real"))
    assert first == moved
    assert first.name == changed.name == "somewhere:f"
    assert len({first.code, changed.code, called.code}) == 3


def test_inner_code_and_methods_count() -> None:
    one = identify(_made("def f(x):\n    return [y + 1 for y in (lambda: x)()]"))
    two = identify(_made("def f(x):\n    return [y + 2 for y in (lambda: x)()]"))
    assert one.code != two.code
    text = (
        "class C:\n    def __init__(self, k): self.k = k\n    def __call__(self, x): return x {} 1"
    )
    plus, minus = _made(text.format("+"), "C"), _made(text.format("-"), "C")
    assert identify(plus).code != identify(minus).code


class Scale:
    """A function with a state."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, item: int) -> int:
        return item * self.factor

    def method(self, item: int) -> int:
        return item * self.factor


def _closure(factor: int) -> Callable[[int], int]:
    def inner(item: int) -> int:
        return inner(item - 1) * factor if item else 1

    return inner


@pytest.mark.parametrize(
    "make",
    [
        lambda k: partial(square, k),
        lambda k: partial(square, item=k),
        Scale,
        lambda k: Scale(k).method,
        _closure,
        lambda k: lambda x, by=k: x * by,
    ],
)
def test_what_a_function_captured_is_not_its_code(make: Callable[[int], Any]) -> None:
    two, three = identify(make(2)), identify(make(3))
    assert two == identify(make(2))
    assert (two.name, two.code) == (three.name, three.code)
    assert two.captured != three.captured


def test_a_function_in_c_has_a_name() -> None:
    assert identify(math.sqrt).name == "math:sqrt"
    assert identify(math.sqrt).code == ""


def test_a_digest_is_the_same_in_the_next_run() -> None:
    text = (
        "from procession._journal.identity import digest_of, identify\n"
        "from tests.journal.test_journal_identity import VALUE\n"
        "from tests.journal.counted import square\n"
        "print(digest_of(VALUE).hex(), identify(square))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", text],
            env=script_environment(PYTHONHASHSEED=seed),
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert digest_of(VALUE).hex() in found.pop()


VALUE = [{"a", "b", "c", "d"}, frozenset("xyz"), {"k": {1.5, "m", (2, "n")}}, ("text", b"\x8f\x91")]


def test_other_items_have_other_digests() -> None:
    values = [1, 1.0, "1", b"1", (1,), [1], {1}, frozenset({1}), {1: 1}, {"a", "b"}, {"a", "c"}]
    assert len({digest_of(value) for value in values}) == len(values)


def test_changed_inputs_are_other_items(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    assert view.map(square, [1, 2, 3]) == [1, 4, 9]
    assert view.map(square, [1, 7, 3]) == [1, 49, 9]
    assert view.map(square, [3, 1]) == [9, 1]
    assert view.map(square, [1, 2, 3]) == [1, 4, 9]
    assert runs.items() == [1, 1, 2, 3, 3, 7]


def test_other_functions_have_other_items(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    assert view.map(square, [2]) == [4]
    assert view.map(echo, [2]) == [2]
    assert view.map(Scale(3), [2]) == [6]
    assert view.map(Scale(4), [2]) == [8]
    assert view.starmap(square, [(2,)]) == [4]
    assert view.options(name="again").map(square, [2]) == [4]
    assert runs.items() == [2, 2, 2, 2]


def test_changed_code_is_told(pool: Pool, tmp_path: Path) -> None:
    plus, minus = _made("def f(x): return x + 1"), _made("def f(x): return x - 1")
    journal = tmp_path / "run.sqlite"
    view = pool.options(journal=journal)
    assert view.map(plus, [1, 2]) == [2, 3]
    with pytest.raises(procession.JournalError, match=r"code of somewhere:f .*changed=\"keep\""):
        view.map(minus, [1, 2, 3])
    again = pool.options(journal={"path": journal, "changed": "again"})
    assert again.map(minus, [1, 2]) == [0, 1]
    assert view.map(plus, [1, 2]) == [2, 3]
    other = tmp_path / "other.sqlite"
    assert pool.options(journal=other).map(plus, [1, 2]) == [2, 3]
    keep = pool.options(journal={"path": other, "changed": "keep"})
    assert keep.map(minus, [1, 2, 3]) == [2, 3, 2]
    assert pool.options(journal=other).map(minus, [1, 2, 3]) == [2, 3, 2]
