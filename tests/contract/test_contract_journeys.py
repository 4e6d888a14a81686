"""How much travels together to an engine whose journeys are dear."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from procession.pool import Pool
from tests.contract.tasks import double


class _Counting(ThreadPoolExecutor):
    """Notes how many items each request has."""

    def __init__(self) -> None:
        super().__init__(2)
        self.sizes: list[int] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        request, *_ = args
        self.sizes.append(request.end - request.first)
        return super().submit(call, *args, **kwargs)


def test_a_map_begins_with_what_the_last_one_has_measured() -> None:
    items = range(2_000)
    with _Counting() as executor, Pool(2, backend=executor) as pool:
        begins = []
        for function in (double, double, partial(double), double):
            assert pool.map(function, items) == [2 * item for item in items]
            begins.append(executor.sizes[0])
            executor.sizes.clear()
    assert begins[0] == begins[2] == 1
    assert min(begins[1], begins[3]) > 1
    pool.join()


def test_a_function_that_can_not_be_hashed_is_mapped_all_the_same() -> None:
    class Doubling(list[int]):
        def __call__(self, item: int) -> int:
            return 2 * item

    with _Counting() as executor, Pool(2, backend=executor) as pool:
        for _ in range(2):
            assert pool.map(Doubling(), range(100)) == [2 * item for item in range(100)]
    pool.join()
