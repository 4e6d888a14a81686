"""Objects that emit no buffers by themselves: their bytes go apart, and they are as they were."""

from __future__ import annotations

import array
import decimal
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from procession import _core
from procession._codec import arrays
from procession._codec.apart import READ, take_apart
from procession._codec.buffers import Payload, dumps_task
from procession.errors.memory import ArenaFull
from tests.codec.roads import Road, as_argument, as_shared_argument

N = 60_000

_DAYS = np.arange("2000-01-01", "2120-01-01", dtype="M8[D]")
_RECORDS = np.zeros(N, [("when", "M8[s]"), ("what", "f8"), ("who", "S3")])
_RECORDS["what"] = np.arange(N)
_RECORDS["when"] = np.arange(N).astype("M8[s]")

NUMPY: dict[str, Any] = {
    "plain": np.arange(N),
    "two dimensions": np.arange(N).reshape(40, -1),
    "in columns": np.asfortranarray(np.arange(N).reshape(40, -1)),
    "strided": np.arange(2 * N)[::2],
    "backwards": np.arange(N)[::-1],
    "a column": np.arange(4 * N).reshape(-1, 4)[:, 1],
    "a window": np.arange(4 * N).reshape(200, -1)[3:190, 5:-5],
    "turned": np.arange(N * 2).reshape(2, 100, -1).transpose(1, 2, 0),
    "dates": np.tile(_DAYS, 2),
    "dates in columns": np.asfortranarray(_DAYS[:43_000].reshape(43, -1)),
    "strided dates": np.tile(_DAYS, 2)[1::2],
    "spans": np.arange(N).astype("m8[ms]"),
    "records with dates": _RECORDS,
    "strided records": _RECORDS[::3],
    "one field": _RECORDS["what"],
    "other byte order": np.arange(N, dtype=">i8")[::-1],
    "text": np.array(["abc", "äöü"] * N)[::-1],
    "complex": (np.arange(N) * 1j)[::2],
    "half": np.arange(3 * N, dtype=np.float16)[::2],
    "booleans": (np.arange(5 * N) % 3 == 0)[::2],
    "one large item": np.array("x" * N),
}


@pytest.mark.parametrize("what", list(NUMPY))
def test_an_array_of_numpy(road: Road, what: str, copied: list[int]) -> None:
    value = NUMPY[what]
    arrived = road(value)
    assert type(arrived) is np.ndarray
    assert (arrived.dtype, arrived.shape) == (value.dtype, value.shape)
    assert np.array_equal(arrived, value)
    assert arrived.flags.writeable
    assert copied.count(value.nbytes) == 1
    assert sum(copied) < value.nbytes + 1000
    if value.flags.f_contiguous:
        assert arrived.flags.f_contiguous
    kept = value.copy()
    arrived[...] = arrived.ravel()[0]
    assert np.array_equal(value, kept)


def test_arrays_of_objects_and_of_new_text_stay_in_the_pickle(road: Road) -> None:
    objects = np.array([b"x" * 100_000, "abc", None] * 1000, dtype=object)
    texts = np.array(["some text, and more"] * N, dtype=np.dtypes.StringDType())
    arrived = road([objects[::2], texts[::2]])
    assert (arrived[0] == objects[::2]).all()
    assert (arrived[1] == texts[::2]).all()
    assert arrived[1].dtype == texts.dtype


@pytest.mark.parametrize("mask", [True, False])
def test_a_masked_array(road: Road, mask: bool, copied: list[int]) -> None:
    value: Any = np.ma.MaskedArray(np.arange(2 * N)[::2].astype(float), fill_value=-5.0)
    if mask:
        value[3:9] = np.ma.masked
    arrived = road(value)
    assert type(arrived) is np.ma.MaskedArray
    assert np.array_equal(arrived.data, value.data)
    assert np.array_equal(np.ma.getmaskarray(arrived), np.ma.getmaskarray(value))
    assert arrived.fill_value == -5.0
    assert copied.count(8 * N) == 1
    arrived[5] = 1.0
    arrived[100] = np.ma.masked
    assert np.ma.is_masked(value[5]) == mask
    assert not np.ma.is_masked(value[100])


def test_a_hard_mask_stays_hard(road: Road) -> None:
    value: Any = np.ma.MaskedArray(np.arange(N), mask=np.arange(N) < 7)
    value.harden_mask()
    arrived = road(value)
    arrived[0] = 99
    assert np.ma.is_masked(arrived[0])


def _mapped(folder: Path, mode: Any = "r") -> Any:
    np.save(folder / "file.npy", np.arange(2.0 * N).reshape(2, -1))
    return np.load(folder / "file.npy", mmap_mode=mode)


def _matrix(count: int) -> Any:
    return np.arange(count).reshape(40, -1).view(np.matrix)


def _to_read(array: Any) -> Any:
    array.flags.writeable = False
    return array


_KINDS: dict[str, Callable[[Path], Any]] = {
    "map": _mapped,
    "map to write": lambda folder: _mapped(folder, "r+"),
    "part of a map": lambda folder: _mapped(folder)[1:],
    "strided map": lambda folder: _mapped(folder)[:, ::2],
    "turned map": lambda folder: _mapped(folder).T,
    "map of dates": lambda folder: _mapped(folder).view("M8[s]"),
    "records": lambda _: _RECORDS.view(np.recarray),
    "records to read": lambda _: _to_read(_RECORDS.copy().view(np.recarray)),
    "strided records": lambda _: _RECORDS.view(np.recarray)[::-2],
    "records of nothing": lambda _: np.arange(N).view(np.recarray),
    "matrix": lambda _: _matrix(N),
    "row": lambda _: np.arange(N).view(np.matrix),
    "turned matrix": lambda _: _to_read(_matrix(N).T),
    "part of a matrix": lambda _: _matrix(2 * N)[:, 1500:],
}


def _looks(array: Any) -> list[Any]:
    """What is to be seen of an array besides its items."""
    flags = array.flags
    return [
        *(type(array), array.shape, array.strides, array.dtype, array.dtype.type, type(array[0])),
        *(flags.writeable, flags.c_contiguous, flags.f_contiguous, getattr(array, "__dict__", {})),
    ]


@pytest.mark.parametrize("what", list(_KINDS))
def test_another_kind_of_numpys_arrives_as_by_plain_pickle(
    road: Road, what: str, copied: list[int], tmp_path: Path
) -> None:
    value = _KINDS[what](tmp_path)
    kept = value.tobytes()
    assert [part.form for part in take_apart(value).parts] == [READ]  # a buffer, no large bytes
    arrived = road(value)
    assert _looks(arrived) == _looks(pickle.loads(pickle.dumps(value, 5)))
    assert arrived.tobytes() == kept
    assert copied.count(value.nbytes) == 1
    assert sum(copied) < value.nbytes + 1000
    arrived[...] = arrived[-1]
    assert value.tobytes() == kept


def test_another_kind_of_numpys_that_is_small_arrives_too(road: Road, tmp_path: Path) -> None:
    for count in (1, 1000):  # the second would be named if it were shared
        np.save(tmp_path / "file.npy", np.arange(count))
        mapped = np.load(tmp_path / "file.npy", mmap_mode="r")
        records = np.zeros(count, "i4,f8").view(np.recarray)
        for value in (mapped, records, np.asarray(mapped).view(np.matrix)):
            arrived = road(value)
            assert _looks(arrived) == _looks(pickle.loads(pickle.dumps(value, 5)))
            assert arrived.tobytes() == value.tobytes()


def test_a_kind_that_is_made_otherwise_stays_in_the_pickle(road: Road) -> None:
    class Odd(np.record):  # type: ignore[misc]
        pass

    globals()["Odd"] = Odd
    Odd.__qualname__ = "Odd"
    records: Any = np.zeros(N, np.dtype((np.record, [("a", "f8")]))).view(np.recarray)
    odd = np.dtype((Odd, [("a", "f8")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is no other way to such a one
        np.ndarray.dtype.__set__(records, odd)  # type: ignore[attr-defined]
    assert road(records).dtype.type is Odd
    objects = np.array([None, [1]] * N, dtype=object)
    assert road(objects.view(np.matrix)).tolist() == [[*objects]]


def test_a_map_that_is_sent_again_is_only_named(tmp_path: Path, copied: list[int]) -> None:
    np.save(tmp_path / "file.npy", np.arange(float(1 << 18)))
    mapped: Any = np.load(tmp_path / "file.npy", mmap_mode="r")
    for _ in range(5):
        arrived = as_argument(mapped)
        assert arrived.flags.writeable
        assert arrived[-1] == (1 << 18) - 1
        arrived[:] = 0
    assert copied == [mapped.nbytes] * 2


def test_a_map_of_a_file_that_is_too_large_is_told_with_the_numbers(tmp_path: Path) -> None:
    mapped: Any = np.memmap(tmp_path / "sparse", "u1", "w+", shape=1 << 40)
    for value in (mapped, mapped[5:]):
        with pytest.raises(ArenaFull) as refused:
            dumps_task(value, once=True)
        assert refused.value.asked >= value.nbytes > refused.value.budget


def test_a_subclass_of_the_users_goes_as_it_pickles(road: Road) -> None:
    class Own(np.ndarray[Any, Any]):
        def __reduce__(self) -> Any:
            return list, (super().__reduce__()[2][1],)

    class OwnMap(np.memmap[Any, Any]):
        pass

    globals()["OwnMap"] = OwnMap
    OwnMap.__qualname__ = "OwnMap"
    assert road(np.arange(2 * N).view(Own)[::2]) == [N]
    arrived = road(np.arange(2 * N).view(OwnMap)[::2])
    assert type(arrived) is OwnMap
    assert np.array_equal(arrived, np.arange(0, 2 * N, 2))


UNICODE = "w" if sys.version_info >= (3, 13) else "u"


@pytest.mark.parametrize("code", "bBhHiIlLqQfd" + UNICODE)
def test_an_array_of_the_standard_library(road: Road, code: str, copied: list[int]) -> None:
    value = array.array(code, "abc€" * N if code == UNICODE else list(range(100)) * 2000)
    arrived = road(value)
    assert type(arrived) is array.array
    assert (arrived.typecode, arrived) == (code, value)
    assert copied.count(len(value) * value.itemsize) == 1
    arrived.append(value[0])
    assert len(value) + 1 == len(arrived)


def _view(exporter: Any) -> memoryview:
    return memoryview(exporter)


_MEMORIES: dict[str, tuple[Callable[[], memoryview], bool]] = {
    "of bytes": (lambda: memoryview(bytes(range(256)) * 400), True),
    "writable": (lambda: memoryview(bytearray(range(256)) * 400), False),
    "of numbers": (lambda: memoryview(array.array("d", range(N))), False),
    "of a matrix": (lambda: _view(np.arange(N, dtype=np.int32).reshape(4, 50, -1)), False),
    "strided": (lambda: memoryview(bytearray(range(256)) * 800)[::2], False),
    "strided to read": (lambda: memoryview(bytes(range(256)) * 800)[::-2], True),
    "in columns": (lambda: _view(np.asfortranarray(np.ones((200, 300)))), False),
    "small": (lambda: memoryview(b"abc"), True),
    "small and writable": (lambda: memoryview(array.array("i", [1, 2, 3])), False),
    "empty": (lambda: memoryview(array.array("d")), False),
    "one number": (lambda: _view(np.array(5.5)), False),
}


@pytest.mark.parametrize("what", list(_MEMORIES))
def test_a_memoryview(road: Road, what: str) -> None:
    make, readonly = _MEMORIES[what]
    value = make()
    arrived = road(value)
    assert type(arrived) is memoryview
    assert (arrived.format, arrived.shape) == (value.format, value.shape)
    assert arrived.readonly == readonly
    assert arrived.tobytes() == value.tobytes()


def test_a_memoryview_of_what_nobody_can_build_is_refused(road: Road) -> None:
    records = np.zeros(10, [("a", "i4"), ("b", "f8")])
    with pytest.raises(TypeError, match="memoryview of .* can not be pickled"):
        road(_view(records))


# ---- pandas, pyarrow, polars


def test_a_frame_of_pandas(road: Road, copied: list[int], pandas: Any) -> None:
    frame = pandas.DataFrame(
        {
            "numbers": np.arange(N, dtype=float),
            "more": np.arange(N, dtype=float) * 2,
            "whole": np.arange(N),
            "when": pandas.date_range("2000", periods=N, freq="min"),
            "there": pandas.date_range("2000", periods=N, freq="min", tz="Europe/Rome"),
            "text": [f"text {i}" for i in range(N)],
            "kind": pandas.Categorical(["a", "b"] * (N // 2)),
            "maybe": pandas.array([1, None] * (N // 2), dtype="Int64"),
        },
        index=pandas.RangeIndex(N, name="row"),
    )
    for value in (frame, frame[::2], frame["when"], frame.iloc[5:], frame["numbers"][::3]):
        copied.clear()
        arrived = road(value)
        same = (
            pandas.testing.assert_frame_equal
            if value.ndim == 2
            else pandas.testing.assert_series_equal
        )
        same(arrived, value)
        assert sum(copied) >= 8 * len(value)
    arrived = road(frame)
    arrived.loc[5, "numbers"] = -1.0
    arrived["whole"] += 1
    assert (frame.loc[5, "numbers"], frame.loc[5, "whole"]) == (5.0, 5)
    assert len(dumps_task(frame, once=True)) < 200_000


def test_tables_of_pyarrow(road: Road, copied: list[int], arrow: Any) -> None:
    table = arrow.table(
        {
            "numbers": np.arange(4 * N),
            "text": [f"text {i % 1000}" for i in range(4 * N)],
            "lists": [[i, i] for i in range(4 * N)],
            "kind": arrow.array(["a", "b"] * (2 * N)).dictionary_encode(),
            "maybe": arrow.array([1.5, None] * (2 * N)),
        }
    )
    for value in (table, table.to_batches()[0], table["text"], table["lists"].chunk(0)):
        copied.clear()
        arrived = road(value)
        assert arrived.equals(value)
        assert sum(copied) >= value.nbytes // 2
    for value in (table.slice(77, 10), table["text"].slice(1000, 50), table["lists"].chunk(0)[5:9]):
        copied.clear()
        arrived = road(value)
        assert arrived.equals(value)
        assert type(arrived) is type(value)
        assert sum(copied) < 5000
        assert len(pickle.dumps(arrived, 5)) < 20_000  # nothing of the parent has come along
    buffer = table["numbers"].chunk(0).buffers()[1]
    assert road(buffer).equals(buffer)


def _frame(polars: Any) -> Any:
    return polars.DataFrame(
        {
            "numbers": np.arange(N, dtype=float),
            "whole": range(N),
            "maybe": [1, None] * (N // 2),
            "yes": [True, False] * (N // 2),
            "text": [f"a longer text, {i}" for i in range(N)],
            "when": polars.Series(np.arange(N).astype("M8[ms]")),
            "enum": polars.Series(["a", "b"] * (N // 2), dtype=polars.Enum(["a", "b"])),
            "kind": polars.Series(["a", "b"] * (N // 2), dtype=polars.Categorical),
            "lists": [[1, 2]] * N,
            "parts": [{"x": 1, "y": "z"}] * N,
            "exact": polars.Series([decimal.Decimal("1.25")] * N),
        }
    )


def test_frames_and_series_of_polars(road: Road, copied: list[int], polars: Any) -> None:
    frame = _frame(polars)
    for value in (
        frame,
        frame.drop("kind"),
        frame["text"],
        frame["lists"],
        frame[::2].drop("kind"),
    ):
        copied.clear()
        arrived = road(value)
        assert type(arrived) is type(value)
        assert arrived.equals(value)
        if isinstance(value, polars.DataFrame):
            assert arrived.schema == value.schema
        else:
            assert (arrived.name, arrived.dtype) == (value.name, value.dtype)
        assert sum(copied) >= 0.9 * value.estimated_size()
    one = frame[["numbers"]]
    arrived = road(one)
    arrived[5, "numbers"] = -1.0
    assert one[5, "numbers"] == 5.0
    assert len(dumps_task(frame["numbers"], once=True)) < 3000


# ---- torch


def test_tensors_of_torch(road: Road, copied: list[int], torch: Any) -> None:
    values = [
        torch.arange(N),
        torch.arange(N).reshape(40, -1),
        torch.ones(2 * N, dtype=torch.bfloat16),
        torch.arange(2 * N)[::2],
        torch.ones(100, 300, dtype=torch.float64).T,
        torch.arange(3 * N) % 2 == 0,
        torch.full((N,), 1 + 2j, dtype=torch.complex64),
    ]
    for value in values:
        copied.clear()
        arrived = road(value)
        assert type(arrived) is torch.Tensor
        assert (arrived.dtype, arrived.shape) == (value.dtype, value.shape)
        assert torch.equal(arrived, value)
        assert copied.count(value.nbytes) == 1
        assert not value.is_shared()
        before = value.clone()
        arrived.fill_(0)
        assert torch.equal(value, before)


def test_gradients_and_parameters_of_torch(road: Road, torch: Any) -> None:
    leaf = torch.ones(N, requires_grad=True)
    assert road(leaf).requires_grad
    assert road(leaf).is_leaf
    layer = torch.nn.Linear(300, 200)
    arrived = road(layer)
    for one, other in zip(layer.parameters(), arrived.parameters(), strict=True):
        assert type(other) is torch.nn.Parameter
        assert torch.equal(one, other)
        assert other.requires_grad
    assert len(dumps_task(layer, once=True)) < 5000
    for small in (torch.tensor(5), torch.ones(2, 3), torch.empty(0, 4), torch.ones(3)[::2]):
        assert torch.equal(road(small), small)


def test_a_tensor_in_frozen_memory_can_be_written_privately(torch: Any) -> None:
    memory = _core.Memory.holding([bytes(range(256)) * 400])
    memory.freeze()
    frozen = np.frombuffer(memoryview(memory), np.uint8)
    one, two = (arrays._tensor_of(_view(frozen), torch.uint8, (-1,), False) for _ in "12")
    one.fill_(7)
    assert two[5] == 5
    assert frozen[5] == 5


def test_what_lies_in_torchs_shared_memory_is_shared_as_ever(torch: Any) -> None:
    from multiprocessing import reduction, resource_sharer

    from procession._launch import stdlib

    stdlib.borrow("reduction")
    shared = torch.ones(N).share_memory_()
    arrived = as_argument(shared)
    assert reduction.ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    shared[5] = 9
    assert arrived[5] == 9
    private = torch.ones(N)
    as_shared_argument(private)
    assert not private.is_shared()
    resource_sharer.stop()


# ---- which reducers there are


def test_a_registered_reducer_comes_before_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    import copyreg

    monkeypatch.setitem(copyreg.dispatch_table, np.ndarray, lambda a: (len, (b"x" * len(a),)))
    assert as_argument(np.arange(2 * N)[::2]) == N


def test_nothing_is_imported_for_it() -> None:
    program = """
import sys
from procession._codec.buffers import dumps_task
before = set(sys.modules)
dumps_task([b"x" * 200_000, bytearray(200_000)], once=True)
assert not {"numpy", "torch", "pandas", "polars", "pyarrow", "array"} & (set(sys.modules) - before)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_imported_later_is_found() -> None:
    program = """
import pickle
from procession._codec.buffers import Payload, dumps_task
dumps_task([b"x" * 200_000], once=True)
import numpy as np
for _ in range(2):
    payload = dumps_task(np.arange(200_000)[::2], once=True)
    assert type(payload) is Payload and len(payload) < 1000
    assert (pickle.loads(payload) == np.arange(0, 200_000, 2)).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_small_object_goes_as_it_always_does(nothing_registered: None) -> None:
    for value in (np.arange(100)[::2], array.array("d", [1.0]), np.array(["2000"], "M8[D]")):
        payload = dumps_task(value, once=True)
        assert type(payload) is bytes
        assert payload == pickle.dumps(value, 5)


def test_a_large_object_among_small_ones_is_found_at_any_depth() -> None:
    class Holder:
        def __init__(self, value: Any) -> None:
            self.value = value

    globals()["Holder"] = Holder
    Holder.__qualname__ = "Holder"
    for value in (np.arange(2 * N)[::2], array.array("d", range(N)), b"x" * 200_000):
        payload = dumps_task([[[[[Holder(value)]]]], 5], once=True)
        assert isinstance(payload, Payload)
        assert len(payload) < 1000
