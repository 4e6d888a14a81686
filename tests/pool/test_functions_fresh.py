"""What a task writes to its function no other task sees, as if the function travelled with each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from procession import Executor
from procession.pool import Pool

SIZES = [10, 500_000]  # numbers: in the pickle, and apart


class Model:
    """It is fitted, and so changes."""

    def __init__(self, size: int) -> None:
        self.w = np.zeros(size)

    def fit(self, x: int) -> float:
        self.w += x
        return float(self.w[-1])

    def __call__(self, x: int) -> float:
        return self.fit(x)


def _fit(w: Any, x: int) -> float:
    w += x
    return float(w[-1])


def _closure(size: int) -> Callable[[int], float]:
    w = np.zeros(size)
    return lambda x: _fit(w, x)


def _with_default(size: int) -> Callable[[int], float]:
    return lambda x, w=np.zeros(size): _fit(w, x)  # type: ignore[misc]  # noqa: B008


def _counter(size: int) -> Callable[[int], float]:
    w = 0.0

    def count(x: int) -> float:
        nonlocal w
        w += x
        return w

    return count


KINDS: dict[str, Callable[[int], Callable[[int], float]]] = {
    "method": lambda size: Model(size).fit,
    "instance": Model,
    "partial": lambda size: functools.partial(_fit, np.zeros(size)),
    "closure": _closure,
    "default": _with_default,
    "variable": _counter,
}


def _check_chunks(results: list[float], size: int) -> None:
    """Each chunk begins anew; one that was taken back from a slow worker may do so within, too."""
    assert results[::size] == [1] * (6 // size)
    assert all(value <= at % size + 1 for at, value in enumerate(results))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_tasks_do_not_see_what_others_wrote(kind: str, size: int) -> None:
    function = KINDS[kind](size)
    with Pool(1) as pool:
        assert pool.map(function, [1] * 6, chunksize=1) == [1] * 6
        _check_chunks(pool.map(function, [1] * 6, chunksize=3), 3)
        assert pool.starmap(function, [(1,)] * 6, chunksize=1) == [1] * 6
        assert list(pool.imap(function, [1] * 6)) == [1] * 6
        assert list(pool.imap_unordered(function, [1] * 6)) == [1] * 6
        _check_chunks(list(pool.imap(function, [1] * 6, 2)), 2)
        assert [pool.apply(function, (1,)) for _ in range(4)] == [1] * 4
    pool.join()
    with Executor(1) as executor:
        assert list(executor.map(function, [1] * 6)) == [1] * 6
        assert [executor.submit(function, 1).result() for _ in range(4)] == [1] * 4


def test_many_items_that_share_records_share_no_state() -> None:
    with Pool(2) as pool:
        assert set(pool.imap(functools.partial(_fit, np.zeros(10)), [1] * 5000)) == {1}
    pool.join()


def _fail_twice(w: Any, path: Path) -> float:
    first = float(w[0])
    w += 1
    with path.open("a") as file:
        file.write("x")
    if len(path.read_text()) < 3:
        raise OSError
    return first


@pytest.mark.parametrize("size", SIZES)
def test_an_item_that_is_tried_again_begins_anew(tmp_path: Path, size: int) -> None:
    w = np.zeros(size)
    functions = [functools.partial(_fail_twice, w), lambda path: _fail_twice(w, path)]
    calls: list[Callable[[Any, Path], float]] = [
        lambda function, path: pool.map(function, [path])[0],
        lambda function, path: next(pool.imap(function, [path])),
        lambda function, path: pool.apply(function, (path,)),
    ]
    with Pool(1, retries=5) as pool:
        for number, function in enumerate(functions):
            for other, call in enumerate(calls):
                path = tmp_path / f"{number}-{other}"
                assert call(function, path) == 0
                assert len(path.read_text()) == 3
    pool.join()


def test_an_error_is_told_as_if_the_function_was_called_at_once() -> None:
    def raising(x: int) -> None:
        raise KeyError(x)

    with Pool(1) as pool:
        with pytest.raises(KeyError, match="7") as caught:
            list(pool.imap(functools.partial(raising), [7]))
        assert "_worker" not in str(caught.value.__cause__)
    pool.join()
