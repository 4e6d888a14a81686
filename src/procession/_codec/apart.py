"""Objects taken apart: a pickle, and beside it the large buffers that are not in it.

Pickle protocol 5 hands buffers out (of arrays, and of whatever has a reducer in ``arrays``). Large
``bytes``, ``bytearray`` and ``str`` it writes as they are, between the frames of the pickle: they
are caught there, and the pickle asks for a buffer instead. So none of them is copied here.

What is wanted of it may be that they are copied to one place (``Apart.settle``), and how they are
named for a receiver (``Apart.layout``), who builds the object again (``opened``).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from pickle import PickleBuffer
from typing import Any, NamedTuple, TypeAlias

from procession import _core
from procession._codec.items import Pickled, joined, loads_joined
from procession._codec.objects import PROTOCOL, REFUSALS, reducers

LEAST_APART = _core.LEAST_APART
"""Bytes. Smaller buffers go into the pickle."""

LEAST_NAMED = 4096
"""Bytes. Smaller buffers go into the pickle even where they lie in frozen memory."""

# What a receiver makes of a part. Of buffers it has a view:
OWN = 0  # on the memory itself: nobody else looks there
PRIVATE = 1  # a copy-on-write mapping of its own
READ = 2  # to read only
# Of the others, which own their bytes, a copy:
BYTES = 3
BYTEARRAY = 4
TEXT = 5

LOCAL = -1
"""Stands for a part's memory: the block that the layout itself lies in."""

Name: TypeAlias = tuple[int, ...]
Layout: TypeAlias = tuple[tuple[Name, ...], tuple[tuple[int, int, int, int], ...]]
"""The memories, by name; and of each part its memory, where it begins, how long it is, its form."""

_ALIGNMENT = 64  # of the parts of Memory.holding(), and of an answer's

_HEADS = {
    pickle.BINBYTES[0]: (BYTES, 5),
    pickle.BINBYTES8[0]: (BYTES, 9),
    pickle.BYTEARRAY8[0]: (BYTEARRAY, 9),
    pickle.BINUNICODE[0]: (TEXT, 5),
    pickle.BINUNICODE8[0]: (TEXT, 9),
}
_FRAME = pickle.FRAME[0]
_PROTO = pickle.PROTO[0]


class Place(NamedTuple):
    """Where a part lies already."""

    memory: _core.Memory
    offset: int
    form: int  # how a receiver may have a view of it


class Part:
    """One buffer beside a pickle.

    Attributes:
        view: its bytes.
        form: READ for a view, or what it is to be a copy of.
        place: where it lies in shared memory; None: it has to be copied there.
    """

    __slots__ = ("form", "place", "view")

    def __init__(self, view: memoryview, form: int, place: Place | None) -> None:
        self.view = view
        self.form = form
        self.place = place


class Apart:
    """A pickle, and what lies beside it.

    Attributes:
        inner: the pickle; or several, ``joined``.
        parts: the buffers, in the order in which the pickle asks for them.
        pins: those made since are for names in it; see ``_core.withdraw_pins``.
    """

    __slots__ = ("inner", "parts", "pins")

    def __init__(self, inner: bytes, parts: list[Part]) -> None:
        self.inner = inner
        self.parts = parts
        self.pins = _core.pins_made()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.inner) + sum(part.view.nbytes for part in self.parts)

    def fresh(self) -> list[memoryview]:
        """The parts that have to be copied, for ``Memory.holding`` or an answer."""
        return [part.view for part in self.parts if part.place is None]

    def settle(self, memory: _core.Memory, form: int) -> None:
        """They have been copied to ``memory``, where a receiver may have them in this form."""
        end = 0
        for part in self.parts:
            if part.place is None:
                begin = end + -end % _ALIGNMENT
                end = begin + part.view.nbytes
                part.place = Place(memory, begin, READ if part.view.readonly else form)

    def kept(self) -> list[_core.Memory]:
        """The memories that must stay for as long as a layout without pins names them."""
        return [part.place.memory for part in self.parts if part.place is not None]

    def layout(self, *, pinned: bool) -> Layout:
        """What ``opened`` is to be given, with what is not in shared memory in LOCAL.

        Args:
            pinned: the names keep their memories (see ``Memory._travel``) until they have arrived.
                Else they are good for as long as somebody holds those.
        """
        numbers: dict[Name, int] = {}
        names: list[Name] = []
        parts = []
        end = 0
        for part in self.parts:
            view, place, form = part.view, part.place, part.form
            if place is None:
                number, begin = LOCAL, end + -end % _ALIGNMENT
                end = begin + view.nbytes
                form = OWN if form == READ else form
            else:
                begin, name = place.offset, place.memory._name()
                number = numbers.setdefault(name, len(names))
                if number == len(names):
                    names.append(place.memory._travel() if pinned else name)
                form = place.form if form == READ else form
            parts.append((number, begin, view.nbytes, form))
        return tuple(names), tuple(parts)


def take_apart(
    value: object,
    *,
    least: int = LEAST_APART,
    by_value: bool = False,
    error: Exception | None = None,
    before_by_value: Callable[[], object] = lambda: None,
) -> Apart:
    """Pickle ``value``, without the large buffers in it.

    Args:
        value: any object; plain pickle is tried first, then by value.
        least: bytes that a buffer has at least that is taken out. Those that lie in frozen
            memory are from LEAST_NAMED on, ``bytes`` and the like from 64 KiB.
        by_value: do not try plain pickle.
        error: what plain pickle said already: by value is tried, and if that fails this is raised.
        before_by_value: called when plain pickle has failed in the midst, and by value is tried.

    Raises:
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    pins = _core.pins_made()
    # What plain pickle refused our reducers may know.
    if not by_value and (error is None or "memoryview" in str(error)):
        try:
            return _pinned(_plainly(value, least), pins)
        except REFUSALS as plain_error:
            _core.withdraw_pins(pins)
            before_by_value()
            error = plain_error
        except BaseException:
            _core.withdraw_pins(pins)
            raise
    try:
        return _pinned(_by_value(value, least, pins), pins)
    except BaseException as failure:
        _core.withdraw_pins(pins)
        if error is None or not isinstance(failure, REFUSALS):
            raise
        # Of all the errors the plain one speaks of the user's object.
        raise error from None
    finally:
        del error  # its traceback has this frame, and so the user's objects, in a circle


class Refusal(NamedTuple):
    """The first of several objects that can not be pickled: its place, and what was raised."""

    place: int
    error: BaseException


def take_each_apart(
    items: Iterable[Any], take: Callable[[Any], bytes | Apart]
) -> tuple[Apart, Refusal | None]:
    """Objects that are pickled each by itself, as one: unpickled they are ``Items``.

    Args:
        take: pickles one of them.

    Returns:
        Those before the first that can not be pickled, and that one's refusal.

    Raises:
        BaseException: what `take` raises that is no Exception.
    """
    pins = _core.pins_made()
    pickles: list[bytes] = []
    ends: list[int] = []
    parts: list[Part] = []
    refusal: Refusal | None = None
    taken: bytes | Apart = b""
    try:
        for item in items:
            if type(item) is Pickled:
                if item.error is not None:
                    refusal = Refusal(len(ends), item.error)
                    break
                taken = item.content
            else:
                taken = take(item)
            if isinstance(taken, Apart):
                pickles.append(taken.inner)
                parts += taken.parts
            else:
                pickles.append(taken)
            ends.append(len(parts))
    except Exception as error:
        refusal = Refusal(len(ends), error)
    except BaseException:
        _core.withdraw_pins(pins)
        parts.clear()  # as in _Stream.filled()
        raise
    finally:
        del taken
    try:
        inner = joined(pickles, ends if parts else None)
        return _pinned(Apart(inner, [*parts]), pins), refusal
    finally:
        parts.clear()  # the traceback of what was refused has this frame
        del refusal


def _pinned(taken: Apart, pins: int) -> Apart:
    taken.pins = pins
    return taken


def _plainly(value: object, least: int) -> Apart:
    stream = _Stream(least)
    pickler = pickle.Pickler(stream, PROTOCOL, buffer_callback=stream.is_in_band)
    pickler.dispatch_table = reducers.merged()
    return stream.filled(pickler, value)


def _by_value(value: object, least: int, pins: int) -> Apart:
    import cloudpickle

    while True:
        stream = _Stream(least)
        kind = reducers.by_value(cloudpickle.Pickler)
        try:
            pickler = kind(stream, PROTOCOL, buffer_callback=stream.is_in_band)
            return stream.filled(pickler, value)
        except REFUSALS:
            if reducers.table:
                raise
            _core.withdraw_pins(pins)
            reducers.borrow()
            if not reducers.table:
                raise


class _Stream:
    """What a pickler writes to. It gets the frames of the pickle, and large objects by themselves.

    The pickler's way: what it has written so far, up to the head of a large object, is one chunk;
    the object's bytes are the next.
    """

    __slots__ = ("_chunks", "_form", "_head", "_least", "_parts")

    def __init__(self, least: int) -> None:
        self._least = least
        self._chunks: list[bytes] = []
        self._parts: list[Part] = []
        self._form = 0  # of what the next chunk is, if that is no part of the pickle itself
        self._head = 0  # bytes before it, which told so

    def write(self, chunk: Any) -> None:
        """Called by the pickler."""
        if not self._form:
            self._chunks.append(chunk)
            self._form, self._head = _announced(chunk)
            return
        form, self._form = self._form, 0
        view = memoryview(chunk)
        if view.nbytes < self._least:
            self._chunks.append(bytes(view))
            return
        self._chunks[-1] = self._chunks[-1][: -self._head] + pickle.NEXT_BUFFER
        self._parts.append(Part(view, form, None))

    def is_in_band(self, buffer: PickleBuffer) -> bool:
        """Called by the pickler: whether a buffer is to be written."""
        try:
            view = buffer.raw()
        except BufferError:  # not in one piece
            return True
        size = view.nbytes
        if size < LEAST_NAMED:
            return True
        found = _core.Memory.at(view)
        if found is None and size < self._least:
            return True
        place = None if found is None else Place(found[0], found[1], READ)
        self._parts.append(Part(view, READ, place))
        return False

    def filled(self, pickler: pickle.Pickler, value: object) -> Apart:
        """What a pickler that writes here makes of ``value``."""
        try:
            pickler.dump(value)
        except BaseException:
            # Who keeps the error keeps us. Before CPython 3.13 the garbage collector crashes at a
            # circle in which a memoryview lies, and something that looks at its bytes.
            self._parts.clear()
            pickler.clear_memo()
            raise
        chunks = self._chunks
        return Apart(chunks[0] if len(chunks) == 1 else b"".join(chunks), self._parts)


def _announced(chunk: bytes) -> tuple[int, int]:
    """What a chunk of a pickle says comes next: its form, and the length of the head."""
    at = 2 if chunk[0] == _PROTO else 0
    while at < len(chunk) and chunk[at] == _FRAME:
        at += 9 + int.from_bytes(chunk[at + 1 : at + 9], "little")
    # Before the head may be up to 3 bytes that were not worth a frame.
    left = len(chunk) - at
    if left < 5:
        return 0, 0
    size = 5 if left < 9 else 9
    form, head = _HEADS.get(chunk[-size], (0, 0))
    return (form, head) if head == size else (0, 0)


# ---- The receiver's side


def opened(layout: Layout, inner: bytes | memoryview, local: memoryview | None = None) -> Any:
    """The object that was taken apart, or the ``Items``. Runs code of the user's, like every
    unpickling.

    Args:
        layout: where its parts are.
        inner: its pickle.
        local: the memory of those that are in LOCAL.

    Raises:
        RuntimeError: the memory is not there any more.
        Exception: whatever unpickling raises.
    """
    names, parts = layout
    memories = [_core.arrive(_core.Memory, name) for name in names]
    return loads_joined(inner, _views(memories, parts, local))


def _views(
    memories: list[_core.Memory],
    parts: Sequence[tuple[int, int, int, int]],
    local: memoryview | None,
) -> list[Any]:
    private = _map_privately(memories, parts)
    wholes = [memoryview(memory) for memory in memories]
    views: list[Any] = []
    for place, (number, begin, length, form) in enumerate(parts):
        if form == PRIVATE:
            views.append(private[place])
            continue
        if form == BYTES and number != LOCAL:
            views.append(memories[number].read(begin, length))
            continue
        whole = wholes[number] if number != LOCAL else local
        assert whole is not None
        views.append(copied(form, whole[begin : begin + length]))
    return views


def copied(form: int, view: memoryview) -> Any:
    """What a part of this form is for its receiver; ``view`` itself, or a copy."""
    return _MAKERS[form](view)


_MAKERS: dict[int, Callable[[memoryview], Any]] = {
    OWN: lambda view: view,
    READ: memoryview.toreadonly,
    BYTES: bytes,
    BYTEARRAY: bytearray,
    TEXT: lambda view: str(view, "utf-8", "surrogatepass"),
}


def _map_privately(
    memories: list[_core.Memory], parts: Sequence[tuple[int, int, int, int]]
) -> dict[int, memoryview]:
    """The views of the private parts, by their places among all.

    Parts that follow one another in a memory have one mapping. One that lies over another has a
    mapping of its own: neither sees what becomes of the other.
    """
    last: dict[int, list[int]] = {}  # of each memory: the places in its last mapping
    mappings: list[list[int]] = []
    for place, (number, begin, _, form) in enumerate(parts):
        if form != PRIVATE:
            continue
        before = last.get(number)
        if before is not None and begin >= parts[before[-1]][1] + parts[before[-1]][2]:
            before.append(place)
        else:
            last[number] = [place]
            mappings.append(last[number])
    views = {}
    for places in mappings:
        number, first, _, _ = parts[places[0]]
        end = parts[places[-1]][1] + parts[places[-1]][2]
        memory = memories[number]
        try:
            whole = memoryview(memory.private(first, end - first))
        except MemoryError:  # no more mappings: a copy does as well
            whole = memoryview(bytearray(memoryview(memory)[first:end]))
        for place in places:
            _, begin, length, _ = parts[place]
            views[place] = whole[begin - first : begin - first + length]
    return views
