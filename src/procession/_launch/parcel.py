"""What a child gets that is no copy of its parent: a pickle, and descriptors.

Packed in the parent: a description of the parent (``preparation``), then the process object.
Plain pickle first; by value (cloudpickle) what that refuses: lambdas, closures, functions and
classes of a ``__main__`` that the child can not import.

Some objects may only be pickled on this way (locks, connections, authentication keys): they ask
``is_packing()``, or the standard library's own ``get_spawning_popen()``. A descriptor inside an
object travels by ``carry()``.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import pickle
import threading
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

from procession import _core
from procession._launch import stdlib

MOST_DESCRIPTORS = 250
"""What the kernel lets one message hold (SCM_RIGHTS)."""


class Parcel(NamedTuple):
    """Ready to be sent.

    Attributes:
        content: a memory file with the two pickles; closed at the end of a with-statement.
        descriptors: what the child is to inherit besides; they belong to others.
        on_its_way: keeps the shared objects in it until they have arrived; to be kept until the
            child has ended. None if there are none.
    """

    content: int
    descriptors: tuple[int, ...]
    on_its_way: _core.Memory | None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.content)


class Description(Protocol):
    """What a child is told before it unpickles its process object."""

    @property
    def has_main(self) -> bool:
        """Whether it can import this program's main module."""


class Carried:
    """A descriptor inside a pickle. In the child, ``detach()`` tells its number there, once."""

    def __init__(self, place: int) -> None:
        self.place = place

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on."""
        return _arrived[self.place]


class _Packing:
    """The descriptors of one parcel. The standard library's objects take it for a Popen."""

    DupFd = Carried

    def __init__(self, descriptors: Iterable[int] = ()) -> None:
        self.descriptors = list(descriptors)

    def duplicate_for_child(self, fd: int) -> int:
        """Have a descriptor travel; its place."""
        self.descriptors.append(fd)
        return len(self.descriptors) - 1


_here = threading.local()
_arrived: Sequence[int] = ()  # in a child: its parcel's descriptors
_reducers: dict[type, Callable[[Any], Any]] = {
    # As pickle does it by itself: the standard library's way names a function of its own.
    functools.partial: functools.partial.__reduce__,
}


def is_packing() -> bool:
    """Whether this thread is pickling for a child of its own."""
    return getattr(_here, "packing", None) is not None


def carry(fd: int) -> Carried:
    """Have a descriptor travel with the parcel that this thread is packing."""
    packing: _Packing = _here.packing
    return Carried(packing.duplicate_for_child(fd))


def register(kind: type, reducer: Callable[[Any], Any]) -> None:
    """How objects of a type of ours are pickled for a child (as ``copyreg``'s reducers)."""
    _reducers[kind] = reducer


def pack(describe: Callable[[], Description], startable: object) -> Parcel:
    """A parcel with a process object, and what `describe` returns; that may carry(), too.

    Raises:
        Exception: whatever pickling raised; for what refuses both ways, what plain pickle said.
        ValueError: more descriptors are in it than can travel.
    """
    reduction: Any = stdlib.borrow("reduction")
    packing = _Packing()
    pins = _core.pins_made()
    with _scope(reduction, packing):
        description = describe()
    packing, pickled = _pickled(reduction, startable, packing, by_value=not description.has_main)
    if len(packing.descriptors) > MOST_DESCRIPTORS:
        raise ValueError(
            f"{len(packing.descriptors)} descriptors are in the arguments of a process, and at "
            f"most {MOST_DESCRIPTORS} can travel: send some later, through a connection"
        )
    content = os.memfd_create("procession-parcel")
    try:
        with open(content, "wb", closefd=False) as file:
            pickle.dump(description, file)
            file.write(pickled)
        os.lseek(content, 0, os.SEEK_SET)
    except BaseException:
        os.close(content)
        raise
    return Parcel(content, tuple(packing.descriptors), _entrusted(pins))


def _entrusted(pins: int) -> _core.Memory | None:
    if _core.pins_made() == pins:
        return None
    way = _core.Memory(1)
    way._entrust(pins)
    return way


def arrive(descriptors: Sequence[int]) -> None:
    """In the child: what ``Carried`` objects are going to find."""
    global _arrived
    _arrived = descriptors


def _pickled(
    reduction: Any, startable: object, first: _Packing, *, by_value: bool
) -> tuple[_Packing, bytes]:
    plain_error: Exception | None = None
    pins = _core.pins_made()
    if not by_value:
        packing = _Packing(first.descriptors)
        buffer = io.BytesIO()
        try:
            with _scope(reduction, packing):
                plain = reduction.ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL)
                plain.dispatch_table = ChainMap(_reducers, plain.dispatch_table)
                plain.dump(startable)
            return packing, buffer.getvalue()
        except Exception as error:
            _core.withdraw_pins(pins)
            plain_error = error
    import cloudpickle

    packing = _Packing(first.descriptors)
    buffer = io.BytesIO()
    try:
        with _scope(reduction, packing):
            theirs = reduction.ForkingPickler(io.BytesIO()).dispatch_table
            table = ChainMap(_reducers, cloudpickle.Pickler.dispatch_table, theirs)
            # The table is read when a pickler is made, and from its class.
            kind = type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table})
            pickler = kind(buffer, pickle.HIGHEST_PROTOCOL)
            pickler.dump(startable)
    except Exception:
        _core.withdraw_pins(pins)
        if plain_error is None:
            raise
        # Of the two errors the plain one speaks of the user's object.
        raise plain_error from None
    finally:
        del plain_error  # its traceback has this frame, and so the user's objects, in a circle
    return packing, buffer.getvalue()


@contextlib.contextmanager
def _scope(reduction: Any, packing: _Packing) -> Iterator[None]:
    before = getattr(_here, "packing", None)
    theirs = reduction.context.get_spawning_popen()
    _here.packing = packing
    reduction.context.set_spawning_popen(packing)
    try:
        yield
    finally:
        reduction.context.set_spawning_popen(theirs)
        _here.packing = before
