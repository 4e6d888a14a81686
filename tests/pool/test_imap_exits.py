"""Items and inputs of ``imap`` that exit: where an error that is no ``Exception`` may come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.pool import Pool

BOTH = pytest.mark.parametrize("method", ["imap", "imap_unordered"])


def _identity(x: Any) -> Any:
    return x


class Exits:
    """Can not be pickled, and says so in the worst way."""

    def __reduce__(self) -> Any:
        raise SystemExit(3)


class RaisesExit:
    """An input that exits."""

    def __iter__(self) -> Iterator[int]:
        yield 1
        yield 2
        raise SystemExit(4)


def _with_exits(results: Iterator[Any]) -> list[Any]:
    """All values to the end; the codes of exits."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found
        except SystemExit as error:
            found.append(error)


@BOTH
@pytest.mark.parametrize("place", [0, 5, 99])
def test_an_item_that_exits_when_it_is_pickled_fails_alone(
    pool: Pool, method: str, place: int
) -> None:
    items = [Exits() if at == place else at for at in range(100)]
    found = _with_exits(getattr(pool, method)(_identity, (one for one in items)))
    assert [one for one in found if isinstance(one, int)] != []
    assert sorted(one for one in found if isinstance(one, int)) == [
        at for at in range(100) if at != place
    ]
    exits = [one for one in found if isinstance(one, SystemExit)]
    assert [one.code for one in exits] == [3]


def test_one_that_the_consumer_pickles_is_not_asked_for_ever(pool: Pool) -> None:
    # First it may be a signal handler that exits; then it is the item.
    items = [Exits() if at == 300 else at for at in range(400)]
    found = _with_exits(pool.imap(_identity, items))
    assert [one for one in found if isinstance(one, int)] == [at for at in range(400) if at != 300]
    assert len([one for one in found if isinstance(one, SystemExit)]) == 2


@pytest.mark.parametrize("is_code", [False, True])
def test_one_that_is_recorded(pool: Pool, tmp_path: Path, is_code: bool) -> None:
    items: Any = [Exits() if at == 60 else at for at in range(80)]
    view = pool.options(journal=tmp_path / "journal")
    found = _with_exits(view.imap(_identity, (one for one in items) if is_code else items))
    assert [one for one in found if isinstance(one, int)] == [at for at in range(80) if at != 60]
    assert 1 <= len([one for one in found if isinstance(one, SystemExit)]) <= (1 if is_code else 3)


def test_an_input_that_exits_ends_the_iteration(pool: Pool) -> None:
    found = _with_exits(pool.imap(_identity, RaisesExit()))
    assert found[:2] == [1, 2]
    assert [one.code for one in found[2:]] == [4]
