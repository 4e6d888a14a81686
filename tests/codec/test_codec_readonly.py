"""Arrays that are read-only at the sender: the receiver's are its own, to be written."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core
from procession._codec import objects
from procession._codec.apart import LEAST_NAMED
from procession._codec.repeats import LEAST as LEAST_REPEATED
from tests.codec.roads import Road, as_argument, as_shared_argument

SMALL = 50
LARGE = 60_000
"""Items."""

_RECORD = [("a", "i4"), ("when", "M8[s]"), ("b", "f8"), ("who", "S3")]

KINDS: dict[str, Callable[[int], Any]] = {
    "numbers": np.arange,
    "in columns": lambda n: np.asfortranarray(np.arange(n).reshape(10, -1)),
    "turned": lambda n: np.arange(n).reshape(2, 5, -1).T,
    "a slice": lambda n: np.arange(3 * n)[n : 2 * n],
    "strided": lambda n: np.arange(2 * n)[::2],
    "one number many times": lambda n: np.broadcast_to(np.arange(5), (n, 5)),
    "dates": lambda n: np.arange(n).astype("M8[s]"),
    "records with dates": lambda n: np.zeros(n, _RECORD),
    "records": lambda n: np.ones(n, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "other byte order": lambda n: np.arange(n, dtype=">i4"),
    "text": lambda n: np.array(["abc", "äöü"] * n),
    "one item": lambda n: np.array("x" * n),
    "objects": lambda n: np.array([None, 7, "x"] * n, object),
    "upon bytes": lambda n: np.frombuffer(bytes(range(50)) * n, np.uint16),
    "nothing": lambda n: np.empty((0, n), "i2"),
}


def protected(array: Any) -> Any:
    array.flags.writeable = False
    return array


def check(arrived: Any, sent: Any) -> None:
    """It is equal, and the receiver's own."""
    assert type(arrived) is np.ndarray
    assert (arrived.dtype, arrived.shape) == (sent.dtype, sent.shape)
    np.testing.assert_array_equal(arrived, sent)
    if sent.flags.forc:
        assert (arrived.flags.fnc, arrived.flags.forc) == (sent.flags.fnc, True)
    assert arrived.flags.writeable
    assert not sent.flags.writeable
    before = sent.copy()
    arrived[...] = arrived.flat[-1] if arrived.size else 0
    np.testing.assert_array_equal(sent, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_one(road: Road, kind: str, copied: list[int]) -> None:
    sent = protected(KINDS[kind](SMALL))
    check(road({"it": sent})["it"], sent)
    assert not copied


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_one_is_copied_once(road: Road, kind: str, copied: list[int]) -> None:
    sent = protected(KINDS[kind](LARGE))
    arrived = road({"it": sent})["it"]
    if sent.nbytes and sent.dtype != object:
        assert [size for size in copied if size >= sent.nbytes][1:] == []
    check(arrived, sent)


def test_one_beside_one_that_may_be_written(road: Road) -> None:
    first, second = np.arange(SMALL), np.arange(LARGE)
    arrived = road([first, protected(first[:]), second, protected(second[:])])
    for array in arrived:
        assert array.flags.writeable
        array[:] = 3
    assert first.tolist() == list(range(SMALL))
    assert np.array_equal(second, np.arange(LARGE))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_one_in_an_object_that_goes_by_value(road: Road, size: int) -> None:
    array = protected(np.arange(size))
    check(road(lambda: array)(), array)


def test_those_of_pandas(road: Road) -> None:
    pandas = pytest.importorskip("pandas")
    for size in (SMALL, LARGE):
        column = protected(pandas.DataFrame({"x": np.zeros(size)})["x"].to_numpy())
        check(road(column), column)
        frame = road(pandas.DataFrame(protected(np.zeros((size, 2))), copy=False))
        frame.iloc[0, 0] = 5
        assert frame.iloc[:2, 0].tolist() == [5, 0]


def test_the_first_one_of_a_process() -> None:
    code = """
import pickle, numpy
from procession._codec.buffers import dumps_answer, dumps_task
for dumps in (lambda value: dumps_task(value, once=True), dumps_answer):
    array = numpy.arange(5)
    array.flags.writeable = False
    print(pickle.loads(dumps({"it": array}))["it"].flags.writeable)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["True", "True"]


def test_the_first_one_behind_what_was_shared() -> None:
    code = """
import numpy, procession
from procession import _core
shared = procession.share(numpy.arange(60_000))
array = numpy.arange(5)
array.flags.writeable = False
print(_core.quick_dumps((array,)))
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "None"


def test_one_that_is_sent_again_and_again(copied: list[int]) -> None:
    sent = protected(np.arange(LEAST_REPEATED // 8 + 1))
    for _ in range(5):
        check(as_argument(sent), sent)
        check(as_shared_argument(sent[:]), sent)
    assert len(copied) == 2


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_plain_pickle_in_one_piece(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "reducers", objects.Reducers())  # nobody has registered anything
    for kind in ("numbers", "in columns", "strided", "dates", "records", "nothing"):
        sent = protected(KINDS[kind](size))
        pickled = objects.dumps(["text", sent])
        assert b"procession" not in pickled
        check(pickle.loads(pickled)[1], sent)
    array = np.arange(size)
    assert objects.dumps(array) == pickle.dumps(array, 5)


# ---- What stays read-only


@pytest.mark.parametrize("count", [10, LEAST_NAMED // 8, LARGE])
def test_what_is_shared_stays_so(road: Road, count: int, copied: list[int]) -> None:
    whole = procession.share(np.arange(LARGE))
    copied.clear()
    for array in (whole[-count:], whole.view("M8[s]")[:count]):
        arrived = road([array])[0]
        np.testing.assert_array_equal(arrived, array)
        assert not copied
    assert not road([whole[-count:]])[0].flags.writeable


def test_a_small_part_of_what_is_shared_is_pickled_at_once() -> None:
    part = procession.share(np.arange(LARGE))[:20]
    assert _core.quick_dumps((part,)) == pickle.dumps((part,), 5)
    assert _core.quick_dumps((protected(np.arange(20)),)) is None


def test_what_share_gives_is_read_only() -> None:
    first = procession.share(protected(np.arange(LARGE)))
    both = procession.share([first, protected(np.arange(LARGE)), np.frombuffer(bytes(LARGE))])
    assert [array.flags.writeable for array in (first, *both)] == [False] * 4
    assert both[0].ctypes.data == first.ctypes.data


@pytest.mark.parametrize("size", [SMALL, LARGE * 8])
def test_what_can_not_be_written_by_its_type(road: Road, size: int) -> None:
    view = road([memoryview(bytes(size))])[0]
    assert view.readonly
    assert view == bytes(size)
    pyarrow = pytest.importorskip("pyarrow")
    buffer = road([pyarrow.py_buffer(bytes(size))])[0]
    assert not buffer.is_mutable
    assert buffer.to_pybytes() == bytes(size)
