"""Reducers of ours, for objects whose own pickles hold all of their bytes, and no buffers.

Arrays that are strided, of dates or masked, and numpy's own other kinds (``memmap``, ``recarray``,
``matrix``); tensors of torch in this process's memory; tables of polars; slices of pyarrow's
arrays, which drag along all of what they were cut from; ``array.array``; and memoryviews, which can
not be pickled at all otherwise. Each is pickled here as a buffer, and what makes the object of it
again.

Those of a package are in the table from the first look after it was imported. What is small, or
of a kind that is not known here, goes as it always does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pickle import PickleBuffer
from typing import Any

from procession import _core

LEAST = 4096
"""Bytes. What is smaller goes as it always does."""

Reducer = Callable[[Any], Any]

table: dict[type, Reducer] = {}
"""The reducers for what is imported; see ``look_around``."""

heavy: dict[type, Callable[[Any], int] | None] = {}
"""The types in it, for ``_core.heavy_types``: None, or what tells how many bytes one has."""

_DRAGGED = 2  # times its own size is what a slice may drag along
_CAST = frozenset("?bBhHiIlLqQnNefdcP")  # formats that memoryview.cast() knows


def look_around() -> None:
    """Have the reducers for what was imported since the last time in the table."""
    for name in [name for name in _waiting if name in sys.modules]:
        try:
            _waiting[name](sys.modules[name])
        except AttributeError:  # it is just being imported
            continue
        _waiting.pop(name, None)


def before(registered: Mapping[type, Reducer]) -> dict[type, Reducer]:
    """Those of ours that are to be asked before ``registered``.

    What a program has registered for one of these types is what it wants. But torch registers its
    own: they move what is sent into memory of torch's, and are for what lies there already.
    """
    found = {}
    for kind, ours in table.items():
        theirs = registered.get(kind)
        if theirs is not None and getattr(theirs, "__module__", "").startswith("torch."):
            found[kind] = _tensors_in_private(ours, theirs)
    return found


def _tensors_in_private(ours: Reducer, theirs: Reducer) -> Reducer:
    return lambda tensor: (ours if _is_private(tensor) else theirs)(tensor)


def writable(buffer: Any) -> Any:
    """A buffer with these bytes that may be written, for what knows no read-only one."""
    view = memoryview(buffer)
    if not view.readonly:
        return view
    place = _core.Memory.at(view)
    if place is None:
        return bytearray(view)
    memory, offset = place
    try:
        return memoryview(memory.private(offset, view.nbytes))
    except MemoryError:  # no more mappings
        return bytearray(view)


# ---- The standard library's


def is_castable(view: memoryview) -> bool:
    """Whether a view of this format can be made of bytes."""
    return view.format.lstrip("@") in _CAST


def _reduce_view(view: memoryview) -> Any:
    if not is_castable(view) or (view.nbytes == 0 and view.ndim != 1):
        raise TypeError(f"a memoryview of {view.shape} items {view.format!r} can not be pickled")
    content: Any = view
    if not view.c_contiguous:
        content = view.tobytes()
        if not view.readonly:
            content = bytearray(content)
    return _view_of, (PickleBuffer(content), view.format, view.shape)


def _view_of(buffer: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    view: Any = memoryview(buffer)
    if form == "B" and len(shape) == 1:
        return view  # type: ignore[no-any-return]
    return view.cast(form, shape) if view.nbytes else view.cast(form)  # type: ignore[no-any-return]


def _bytes_in_array(array: Any) -> int:
    return len(array) * int(array.itemsize)


def _reduce_array(array: Any) -> Any:
    if _bytes_in_array(array) < LEAST:
        return array.__reduce_ex__(5)
    return _array_of, (array.typecode, PickleBuffer(array))


def _array_of(typecode: str, buffer: Any) -> Any:
    import array

    made = array.array(typecode)
    made.frombytes(buffer)
    return made


def _use_array(module: Any) -> None:
    table[module.array] = _reduce_array
    heavy[module.array] = _bytes_in_array


# ---- numpy


def is_odd_array(value: object) -> bool:
    """Whether it is a large array of numbers, of a class derived from numpy's."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return False
    return type(value) is not numpy.ndarray and _is_bytes(value)


def _use_numpy(numpy: Any) -> None:
    table[numpy.ndarray] = _reduce_ndarray
    table[numpy.memmap] = table[numpy.recarray] = _reduce_kind
    heavy.update(dict.fromkeys((numpy.ndarray, numpy.memmap, numpy.recarray)))


def _use_matrix(module: Any) -> None:
    table[module.matrix] = _reduce_kind
    heavy[module.matrix] = None


def _reduce_ndarray(array: Any) -> Any:
    array = unprotected(array)
    if not _is_bytes(array):
        return array.__reduce_ex__(5)
    if array.flags.forc:
        try:
            memoryview(array)
        except (ValueError, BufferError):  # it has dates in it, for one
            pass
        else:
            return array.__reduce_ex__(5)
    content, order = _content(array)
    return _ndarray_of, (PickleBuffer(content), array.dtype, array.shape, order)


def _is_bytes(array: Any) -> bool:
    """Whether it is large, and its items are bytes and refer to nothing."""
    return array.nbytes >= LEAST and not array.dtype.hasobject and array.dtype.kind != "T"


def _content(array: Any) -> tuple[Any, str]:
    """Its bytes in one piece, a copy if they are not, and in whose order they are."""
    import numpy

    flags = array.flags
    order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    flat = array.T if order == "F" else numpy.ascontiguousarray(array)
    return flat.reshape(-1).view(numpy.uint8), order


class _Unprotected:
    """Bytes that are not to be written here, for a pickle of which writable ones are made."""

    def __init__(self, content: Any) -> None:
        self.base = content
        form = content.__array_interface__
        self.__array_interface__ = {**form, "data": (form["data"][0], False)}


def unprotected(array: Any) -> Any:
    """An array, to be pickled as one that may be written: so it arrives with plain pickle.

    What lies in frozen memory stays what it is: there is nothing but references to it.
    """
    flags = array.flags
    if flags.writeable or not flags.forc:  # the latter will be copied
        return array
    if array.dtype.hasobject or array.dtype.kind == "T":  # pickled item by item
        return array
    if array.nbytes == 0:
        return array.copy()
    import numpy

    content = (array if flags.c_contiguous else array.T).reshape(-1).view(numpy.uint8)
    if _core.Memory.at(content) is not None:
        return array
    flat = numpy.asarray(_Unprotected(content)).view(array.dtype)
    return flat.reshape(array.shape, order="C" if flags.c_contiguous else "F")


def _ndarray_of(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    import numpy

    flat = numpy.frombuffer(buffer, dtype=numpy.uint8)
    return flat.view(dtype).reshape(shape, order=order)


def _reduce_kind(array: Any) -> Any:
    if not _is_bytes(array):
        return array.__reduce_ex__(5)
    import numpy

    kind, plain = type(array), array.view(numpy.ndarray)
    if _form(plain.view(kind)) != _form(array):  # its kind would make something else of it
        return array.__reduce_ex__(5)
    content, order = _content(plain)
    return _kind_of, (kind, PickleBuffer(unprotected(content)), plain.dtype, plain.shape, order)


def _form(array: Any) -> tuple[Any, ...]:
    return array.dtype, array.dtype.type, array.shape


def _kind_of(kind: Any, buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    return _ndarray_of(buffer, dtype, shape, order).view(kind)


def _use_masked(module: Any) -> None:
    table[module.MaskedArray] = _reduce_masked
    heavy[module.MaskedArray] = None


def _reduce_masked(array: Any) -> Any:
    if array.nbytes < LEAST or array.dtype.hasobject:
        return array.__reduce_ex__(5)
    import numpy

    mask = array.mask if array.mask is not numpy.ma.nomask else None
    return _masked_of, (array.data, mask, array._fill_value, array.hardmask)


def _masked_of(data: Any, mask: Any, fill_value: Any, is_hard: bool) -> Any:
    import numpy

    mask = numpy.ma.nomask if mask is None else mask
    made: Any = numpy.ma.MaskedArray(
        data, mask=mask, copy=False, keep_mask=False, hard_mask=is_hard
    )
    made._fill_value = fill_value
    return made


# ---- torch


def _use_torch(torch: Any) -> None:
    for kind, reducer in (
        (torch.Tensor, _reduce_tensor),
        (torch.nn.Parameter, _reduce_parameter),
    ):
        table[kind] = reducer
        heavy[kind] = None


def _is_private(tensor: Any) -> bool:
    """Whether a tensor is plain numbers in this process's own memory."""
    import torch

    return bool(
        tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.is_leaf  # so is one without a gradient
        and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
        and not tensor.is_shared()
        and not tensor._backward_hooks
        and not vars(tensor)
    )


def _reduce_tensor(tensor: Any) -> Any:
    # Small ones, too: torch may have registered its way for what they consist of.
    if not _is_private(tensor):
        return tensor.__reduce_ex__(5)
    import torch

    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    shape = tuple(tensor.shape)
    return _tensor_of, (PickleBuffer(flat), tensor.dtype, shape, tensor.requires_grad)


def _tensor_of(buffer: Any, dtype: Any, shape: tuple[int, ...], has_gradient: bool) -> Any:
    import torch

    if 0 in shape:
        made = torch.empty(shape, dtype=dtype)
    else:
        made = torch.frombuffer(writable(buffer), dtype=dtype).reshape(shape)
    return made.requires_grad_() if has_gradient else made


def _reduce_parameter(parameter: Any) -> Any:
    if not _is_private(parameter):
        return parameter.__reduce_ex__(5)
    return _parameter_of, (parameter.data, parameter.requires_grad)


def _parameter_of(data: Any, has_gradient: bool) -> Any:
    import torch

    return torch.nn.Parameter(data, has_gradient)


# ---- pyarrow and polars


def _use_pyarrow(pyarrow: Any) -> None:
    kinds = [pyarrow.Array]
    for kind in kinds:
        kinds += kind.__subclasses__()
        table[kind] = _reduce_arrow


def _reduce_arrow(array: Any) -> Any:
    held = array.get_total_buffer_size()
    if held >= LEAST and held > _DRAGGED * array.nbytes:
        import pyarrow

        array = pyarrow.concat_arrays([array])
    return array.__reduce_ex__(5)


def _use_polars(polars: Any) -> None:
    table[polars.DataFrame] = _reduce_frame
    heavy[polars.DataFrame] = _bytes_in_frame
    table[polars.Series] = _reduce_series
    heavy[polars.Series] = _bytes_in_frame


def _bytes_in_frame(frame: Any) -> int:
    return int(frame.estimated_size())


def _reduce_frame(frame: Any) -> Any:
    if _bytes_in_frame(frame) >= LEAST and all(map(_is_as_in_arrow, frame.dtypes)):
        try:
            import polars

            newest = polars.CompatLevel.newest()
            content = _in_step(frame).to_arrow(compat_level=newest)
            if hasattr(frame, "__arrow_c_stream__") and hasattr(content, "__arrow_c_stream__"):
                return _frame_of, (content, _sorted_columns(frame))
        except (ImportError, AttributeError):  # no pyarrow here, or an old one of the two
            pass
    return frame.__reduce_ex__(5)


def _in_step(frame: Any) -> Any:
    """The same with columns that are cut at the same rows. Else polars sees to that itself, in its
    threads; see ``_frame_of``."""
    columns = frame.get_columns()
    if len({tuple(column.chunk_lengths()) for column in columns}) == 1:
        return frame
    import polars

    made = polars.DataFrame([column.rechunk() for column in columns])
    made.columns = frame.columns
    return made


def _sorted_columns(frame: Any) -> list[tuple[int, bool]]:
    """What polars knows of the order of its columns, and Arrow does not: which, and whether the
    greatest comes first."""
    flags = (column.flags for column in frame.get_columns())
    return [
        (at, known["SORTED_DESC"])
        for at, known in enumerate(flags)
        if known["SORTED_ASC"] or known["SORTED_DESC"]
    ]


def _frame_of(content: Any, ordered: list[tuple[int, bool]]) -> Any:
    import polars

    # Not by from_arrow(): of most types it makes columns in polars' threads, which are not there in
    # a child that was forked after its parent had used them, and waits for them for ever.
    frame = polars.Series(content).struct.unnest()
    for at, descending in ordered:
        frame.replace_column(at, frame.to_series(at).set_sorted(descending=descending))
    return frame


def _reduce_series(series: Any) -> Any:
    if _bytes_in_frame(series) < LEAST:
        return series.__reduce_ex__(5)
    return _series_of, (series.to_frame(),)


def _series_of(frame: Any) -> Any:
    return frame.to_series()


# fmt: off
_IN_ARROW = frozenset({
    "Array", "Binary", "Boolean", "Date", "Datetime", "Decimal", "Duration", "Enum", "Float32",
    "Float64", "Int16", "Int32", "Int64", "Int8", "List", "Null", "String", "Struct", "Time",
    "UInt16", "UInt32", "UInt64", "UInt8",
})
# fmt: on


def _is_as_in_arrow(dtype: Any) -> bool:
    """Whether a column of polars is the same after it was one of pyarrow."""
    if type(dtype).__name__ not in _IN_ARROW and getattr(dtype, "__name__", "") not in _IN_ARROW:
        return False
    inner = getattr(dtype, "inner", None)
    parts = [inner] if inner is not None else []
    parts += [field.dtype for field in getattr(dtype, "fields", ())]
    return all(map(_is_as_in_arrow, parts))


_waiting: dict[str, Callable[[Any], None]] = {
    "array": _use_array,
    "numpy": _use_numpy,
    "numpy.ma": _use_masked,
    "numpy.matrixlib": _use_matrix,
    "polars": _use_polars,
    "pyarrow": _use_pyarrow,
    "torch": _use_torch,
}
table[memoryview] = _reduce_view
