"""Large arrays as arguments: sent once, each task's own to write to; arrays in files stay there."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed

import procession
from procession._codec.objects import loads
from procession._joblib.arguments import Arguments
from procession._joblib.files import InFile, open_again
from tests.joblib.work import describe, private_memory, sum_row, write_to

pytestmark = pytest.mark.scale

TWO = partial(Parallel, n_jobs=2, backend="procession", start_method="fork", batch_size=1)
MIB = 1 << 20
LARGE = 4 * MIB // 8  # items


def ones(items: int = LARGE) -> Any:
    return np.ones(items)


def in_use() -> int:
    gc.collect()
    kinds = procession.memory().kinds
    return sum(kinds[name].bytes for name in ("arguments", "results", "shared"))


def test_every_task_has_an_array_of_its_own() -> None:
    array = ones()
    found = TWO()(delayed(write_to)(array, x) for x in range(2, 12))
    assert found == [(1.0, float(x)) for x in range(2, 12)]
    assert array[0] == 1.0


def test_arrays_arrive_as_arrays_that_can_be_written_to() -> None:
    array = ones()
    array.flags.writeable = False
    assert TWO()(delayed(describe)(array) for _ in range(4)) == [("ndarray", True, LARGE)] * 4


def test_an_array_is_in_shared_memory_once() -> None:
    array = ones(64 * MIB // 8)
    seen: list[int] = []

    def source() -> Iterator[Any]:
        before = in_use()
        for _ in range(12):
            yield delayed(describe)(array)
            seen.append(in_use() - before)

    TWO(pre_dispatch=4)(source())
    assert 64 * MIB <= max(seen) < 80 * MIB


def test_a_worker_that_reads_has_no_copy() -> None:
    array = ones(64 * MIB // 8)
    TWO()(delayed(private_memory)(ones(2)) for _ in range(4))  # what the first call imports
    for grown, total in TWO()(delayed(private_memory)(array) for _ in range(6)):
        assert total == array.size
        assert grown < 16 * MIB


def test_a_stream_of_arrays_is_not_kept() -> None:
    seen: list[int] = []

    def source() -> Iterator[Any]:
        before = in_use()
        for _ in range(20):
            yield delayed(describe)(ones())
            seen.append(in_use() - before)

    TWO(pre_dispatch=2)(source())
    assert max(seen) <= 5 * 5 * MIB


def test_nothing_stays_behind_a_call() -> None:
    before = in_use()
    array = ones()
    TWO()(delayed(describe)(array) for _ in range(6))
    assert in_use() - before < MIB


def test_arrays_at_the_same_place_are_told_apart() -> None:
    def source() -> Iterator[Any]:
        for x in range(30):
            array = np.full(LARGE, float(x))
            yield delayed(describe)(array)
            del array

    assert [total for *_, total in TWO()(source())] == [float(x) * LARGE for x in range(30)]


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_at_the_same_place_are_told_apart(kind: Any) -> None:
    tasks = (delayed(max)(kind(bytes([x]) * (2 * MIB))) for x in range(30))
    assert TWO()(tasks) == [*range(30)]


def test_arrays_over_bytes_are_told_apart() -> None:
    def source() -> Iterator[Any]:
        for x in range(30):
            yield delayed(np.max)(np.frombuffer(bytes([x]) * (2 * MIB), np.uint8))

    assert [int(x) for x in TWO()(source())] == [*range(30)]


@pytest.mark.parametrize(("least", "seen"), [(MIB, 1.0), (8 * MIB, 2.0), (None, 2.0)])
def test_what_changes_during_a_call_is_seen_where_that_is_asked_for(
    least: int | None, seen: float
) -> None:
    arguments = Arguments(least)
    array = ones()
    first = arguments.dumps(partial(write_to, array, 3.0), once=False)
    array[0] = 2.0
    second = arguments.dumps(partial(write_to, array, 3.0), once=False)
    assert loads(first)() == (1.0, 3.0)
    assert loads(second)() == (seen, 3.0)
    assert array[0] == 2.0


@pytest.mark.parametrize(
    "words", [{}, {"max_nbytes": None}, {"mmap_mode": None}, {"max_nbytes": "1G"}]
)
def test_joblibs_words_about_arrays_say_what_is_asked_for(words: dict[str, Any]) -> None:
    parallel = TWO(**words)
    parallel([delayed(int)()])
    asked = {"max_nbytes": "1G"}.items() <= words.items()
    expected = None if words and not asked else 1 << 30 if asked else MIB
    assert parallel._backend._least == expected


def test_an_array_is_taken_anew_by_each_call() -> None:
    array = ones()
    for x in range(3):
        array[:] = x
        with TWO() as parallel:
            for y in range(2):
                array[0] = y
                expected = x * (LARGE - 1) + y
                found = parallel(delayed(describe)(array) for _ in range(3))
                assert [total for *_, total in found] == [expected] * 3


def test_retries_get_arguments_unharmed(tmp_path: Path) -> None:
    array = ones()
    with joblib.parallel_config(backend="procession", start_method="fork", n_jobs=2, retries=1):
        found = Parallel(batch_size=1)(
            delayed(_write_and_fail_once)(str(tmp_path / f"{x}"), array) for x in range(4)
        )
    assert found == [1.0] * 4


def _write_and_fail_once(path: str, array: Any) -> float:
    before = float(array[0])
    array[:] = 7
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("the first time")
    return before


def test_large_results_come_back() -> None:
    found = TWO()(delayed(np.full)(LARGE, x) for x in range(6))
    assert [float(array[-1]) for array in found] == [*range(6)]
    assert all(array.flags.writeable for array in found)


# ---- arrays in files


@pytest.fixture
def in_file(tmp_path: Path) -> Any:
    array = np.memmap(tmp_path / "array", np.float64, "w+", shape=(20, 30))
    array[:] = np.arange(600).reshape(20, 30)
    array.flush()
    return array


def test_results_are_written_to_a_file(in_file: Any, tmp_path: Path) -> None:
    output = np.memmap(tmp_path / "sums", np.float64, "w+", shape=20)
    TWO()(delayed(sum_row)(in_file, output, i) for i in range(20))
    assert np.array_equal(output, in_file.sum(axis=1))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "all": lambda a: a,
    "rows": lambda a: a[3:9],
    "as array": lambda a: np.asarray(a[3:9]),
    "columns": lambda a: a[:, 4:7],
    "turned": lambda a: a.T,
    "every other": lambda a: a[::2, ::3],
    "a cube": lambda a: a.reshape(20, 5, 6)[1:, :, ::5],
    "other type": lambda a: a.view(np.int64)[5:],
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_opened_again(view: str, in_file: Any) -> None:
    array = VIEWS[view](in_file)
    before = array.copy()
    function, args = InFile(array, in_file).__reduce__()
    assert function is open_again
    again = function(*args)
    assert again.dtype == array.dtype
    assert np.array_equal(again, before)
    TWO()([delayed(_negate)(array), delayed(_nothing)(array)])
    assert np.array_equal(array, -before)
    assert np.array_equal(again, -before)


def _negate(array: Any) -> None:
    np.negative(array, out=array)


def _nothing(array: Any) -> None:
    assert array is not None


def test_files_are_found_in_containers(in_file: Any) -> None:
    found = TWO()(delayed(_types)([in_file], {"a": (in_file[2:],)}, c=in_file) for _ in range(2))
    assert found == [["memmap"] * 3] * 2


def _types(a: Any, b: Any, **more: Any) -> list[str]:
    return [type(each).__name__ for each in (a[0], b["a"][0], more["c"])]


def test_a_file_that_is_opened_to_read_is_so_there(in_file: Any) -> None:
    array = np.memmap(in_file.filename, np.float64, "r", shape=(20, 30))
    assert TWO()([delayed(describe)(array)] * 2) == [("memmap", False, 600 * 599 / 2)] * 2


def test_what_is_not_in_the_file_is_copied(in_file: Any) -> None:
    changed = np.memmap(in_file.filename, np.float64, "c", shape=(20, 30))
    changed[:] = 1
    assert TWO()([delayed(describe)(changed)] * 2) == [("memmap", True, 600.0)] * 2
    Path(in_file.filename).unlink()
    assert [total for *_, total in TWO()([delayed(describe)(in_file)] * 2)] == [600 * 599 / 2] * 2
    backward = in_file[::-1]
    assert [total for *_, total in TWO()([delayed(describe)(backward)] * 2)] == [600 * 599 / 2] * 2


def test_batches_are_pickled_as_plainly_as_they_can_be() -> None:
    arguments = Arguments(MIB)
    sent = arguments.dumps(partial(describe, np.ones(3)), once=True)
    assert b"cloudpickle" not in sent
    assert type(sent) is bytes
