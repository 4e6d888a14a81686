"""A death during map, imap and their kind: which items it concerns, and that all else goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._core import validate
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.pool.gates import error_of


def _square_or_die(x: int) -> int:
    if x in (13, 113):
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def _add_or_die(x: int, y: int) -> int:
    return _square_or_die(x) + y


def _always_die(_: int) -> None:
    os._exit(7)


@pytest.mark.parametrize("chunksize", [None, 1, 7, 100])
def test_map_names_the_item(pool: Pool, chunksize: int | None) -> None:
    with pytest.raises(WorkerDied) as caught:
        pool.map(_square_or_die, range(50), chunksize)
    assert caught.value.item == 13
    assert caught.value.task == "_square_or_die in a map"
    assert "while it ran _square_or_die in a map at item 13;" in str(caught.value)
    assert pool.map(_square_or_die, range(10), chunksize) == [x * x for x in range(10)]


def test_starmap_names_the_item(pool: Pool) -> None:
    with pytest.raises(WorkerDied) as caught:
        pool.starmap(_add_or_die, [(x, 1) for x in range(50)], 4)
    assert caught.value.item == 13


def test_map_async_calls_the_error_callback(pool: Pool) -> None:
    seen: list[BaseException] = []
    result = pool.map_async(_square_or_die, range(50), error_callback=seen.append)
    assert isinstance(error_of(result), WorkerDied)
    assert seen == [error_of(result)]


def test_map_of_which_every_item_kills(pool: Pool) -> None:
    with pytest.raises(WorkerDied):
        pool.map(_always_die, range(30), 1)
    assert pool.map(abs, range(10)) == list(range(10))


def _outcomes(results: Iterator[Any]) -> list[Any]:
    found = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found
        except WorkerDied as error:
            found.append(error)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_loses_that_item_only(pool: Pool, method: str) -> None:
    outcomes = _outcomes(getattr(pool, method)(_square_or_die, range(200)))
    dead = [outcome for outcome in outcomes if isinstance(outcome, WorkerDied)]
    values = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert sorted(error.item for error in dead if error.item is not None) == [13, 113]
    assert sorted(values) == [x * x for x in range(200) if x not in (13, 113)]
    assert dead[0].task == "_square_or_die in an imap"
    if method == "imap":
        assert [type(outcome) for outcome in outcomes].index(WorkerDied) == 13
        assert values == sorted(values)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_with_chunks_loses_that_item_only(pool: Pool, method: str) -> None:
    outcomes = _outcomes(getattr(pool, method)(_square_or_die, range(200), 5))
    lost = [x.item for x in outcomes if isinstance(x, WorkerDied) and x.item is not None]
    assert sorted(lost) == [13, 113]
    values = [x for x in outcomes if isinstance(x, int)]
    assert sorted(values) == [x * x for x in range(200) if x not in lost]


def test_imap_of_which_every_item_kills(pool: Pool) -> None:
    outcomes = _outcomes(pool.imap(_always_die, range(25)))
    assert [error.item for error in outcomes] == list(range(25))
    assert {error.exitcode for error in outcomes} == {7}


@pytest.mark.parametrize(
    "end",
    [
        lambda pool, results: _outcomes(results),
        lambda pool, results: (pool.close(), pool.join(), _outcomes(results))[2],
    ],
)
def test_imap_after_a_death_is_complete(pool: Pool, end: Callable[..., list[Any]]) -> None:
    outcomes = end(pool, pool.imap_unordered(_square_or_die, range(150), 2))
    assert len(outcomes) == 150
    assert validate() is None


def test_calls_side_by_side_do_not_share_a_death(pool: Pool) -> None:
    bad = pool.map_async(_square_or_die, range(50), 1)
    good = pool.map_async(abs, range(500), 1)
    stream = pool.imap(abs, range(100))
    assert isinstance(error_of(bad), WorkerDied)
    assert good.get() == list(range(500))
    assert list(stream) == list(range(100))
