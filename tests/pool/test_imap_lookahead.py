"""How far ``imap`` and ``imap_unordered`` look ahead: as far as results are consumed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from procession._engine.lookahead import BYTES_AHEAD, FIRST_ITEMS_A_WORKER, TINY_ITEMS_A_WORKER
from procession.pool import Pool
from tests.pool.counted import Counted, await_rest
from tests.pool.gates import Gate

BOTH = pytest.mark.parametrize("method", ["imap", "imap_unordered"])
WORKERS = 2  # of the pools that the fixtures make
AT_FIRST = WORKERS * FIRST_ITEMS_A_WORKER
AT_MOST = WORKERS * TINY_ITEMS_A_WORKER


def _square(x: int) -> int:
    return x * x


def _identity(x: Any) -> Any:
    return x


def _blob(size: int) -> bytes:
    return bytes(size)


@BOTH
def test_an_endless_input_is_pulled_a_little_ahead(pool: Pool, method: str) -> None:
    endless = Counted()
    results = getattr(pool, method)(_identity, endless)
    await_rest(results)
    assert endless.pulled == AT_FIRST
    most = 0
    for consumed in range(1, 4 * AT_MOST):
        next(results)
        ahead = endless.pulled - consumed
        assert 0 <= ahead <= min(AT_MOST, AT_FIRST + 2 * consumed)
        most = max(most, ahead)
    assert most > AT_MOST // 2


@pytest.mark.parametrize("chunksize", [4, 10])
def test_the_bound_counts_chunks(pool: Pool, chunksize: int) -> None:
    endless = Counted()
    results = pool.imap(_identity, endless, chunksize)
    await_rest(results)
    assert endless.pulled == AT_FIRST * chunksize
    for expected in range(50 * chunksize):
        assert next(results) == expected
    assert endless.pulled <= (50 + AT_MOST) * chunksize


def test_nothing_is_pulled_while_nothing_is_consumed(pool: Pool) -> None:
    endless = Counted()
    results = pool.imap(_identity, endless)
    for expected in range(100):
        assert next(results) == expected
    await_rest(results)
    pulled = endless.pulled
    assert pool.map(_square, range(1000)) == [x * x for x in range(1000)]
    assert endless.pulled == pulled


def _length_behind(x: tuple[Gate, bytes]) -> int:
    gate, data = x
    gate.pass_through()
    return len(data)


def test_large_arguments_bound_the_look_ahead(gate: Gate, pool: Pool) -> None:
    size = BYTES_AHEAD // 4
    endless = Counted(lambda _: (gate, bytes(size)))
    results = pool.imap(_length_behind, endless)
    await_rest(results)
    # Those that are answered take no room any more; none is.
    assert endless.pulled <= 2 * WORKERS + 1
    gate.open(1000)
    assert [next(results) for _ in range(12)] == [size] * 12


def test_large_results_bound_the_look_ahead(pool: Pool) -> None:
    size = BYTES_AHEAD // 8
    endless = Counted(lambda _: size)
    results = pool.imap(_blob, endless)
    for consumed in range(1, 2 * AT_FIRST):
        assert len(next(results)) == size
        # Once those pulled before the size was known are consumed.
        if consumed > AT_FIRST:
            assert endless.pulled - consumed <= 8


def test_an_input_may_depend_on_earlier_results(pool: Pool) -> None:
    seen: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            if len(seen) >= 200:
                return
            yield number

    for value in pool.imap(_square, numbers()):
        seen.append(value)  # noqa: PERF402
    assert seen == [x * x for x in range(len(seen))]
    assert 200 <= len(seen) <= 200 + AT_MOST


def test_imap_over_imap(pool: Pool) -> None:
    inner = pool.imap(_square, range(500))
    outer = pool.imap(_square, inner)
    assert list(pool.imap_unordered(_identity, pool.imap(_identity, outer), 7)) != []
    chained = pool.imap(_square, pool.imap_unordered(_square, pool.imap(_identity, range(500))))
    assert sorted(chained) == [x**4 for x in range(500)]


def test_imap_of_an_endless_imap(pool: Pool) -> None:
    endless = Counted()
    results = pool.imap(_square, pool.imap(_square, endless))
    assert list(itertools.islice(results, 300)) == [x**4 for x in range(300)]
    assert endless.pulled <= 300 + 2 * AT_MOST
