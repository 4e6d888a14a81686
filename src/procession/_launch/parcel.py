"""What a child gets that is no copy of its parent: a pickle, and descriptors.

Packed in the parent: a description of the parent (``preparation``), then the process object.
Plain pickle first; by value (cloudpickle) what that refuses: lambdas, closures, functions and
classes of a ``__main__`` that the child can not import. Large buffers in it go through the arena,
as a task's do; the pickle names the memory that they are in.

Some objects may only be pickled on this way (locks, connections, authentication keys): they ask
``is_packing()``, or the standard library's own ``get_spawning_popen()``. A descriptor inside an
object travels by ``carry()``.
"""

from __future__ import annotations

import contextlib
import copyreg
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

from procession import _core
from procession._codec import repeats
from procession._codec.apart import take_apart
from procession._codec.buffers import as_payload, settle
from procession._launch import stdlib

MOST_DESCRIPTORS = 250
"""What the kernel lets one message hold (SCM_RIGHTS)."""


class Parcel(NamedTuple):
    """Ready to be sent.

    Attributes:
        content: a memory file with the two pickles; closed at the end of a with-statement.
        descriptors: what the child is to inherit besides; they belong to others.
        on_its_way: keeps the shared objects and the memory in it until they have arrived; to be
            kept until the child has ended. None if there are none.
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

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        """Have a descriptor travel; its place."""
        self.descriptors.append(fd)
        return len(self.descriptors) - 1


_here = threading.local()
_arrived: Sequence[int] = ()  # in a child: its parcel's descriptors


def is_packing() -> bool:
    """Whether this thread is pickling for a child of its own."""
    return getattr(_here, "packing", None) is not None


def carry(fd: int) -> Carried:
    """Have a descriptor travel with the parcel that this thread is packing.

    Raises:
        TypeError: it is packing none.
    """
    packing: _Packing | None = getattr(_here, "packing", None)
    if packing is None:
        raise TypeError("this is pickled for a process that is being started, and only then")
    return Carried(packing.duplicate_for_child(fd))


def register(kind: type, reducer: Callable[[Any], Any]) -> None:
    """How objects of a type of ours are pickled for a child (as ``copyreg``'s reducers)."""
    copyreg.pickle(kind, reducer)


def pack(describe: Callable[[], Description], startable: object) -> Parcel:
    """A parcel with a process object, and what `describe` returns; that may carry(), too.

    Raises:
        Exception: whatever pickling raised; for what refuses both ways, what plain pickle said.
        ValueError: more descriptors are in it than can travel.
        ArenaFull: there is no room for what is large in it.
    """
    packing = _Packing()
    pins = _core.pins_made()
    try:
        content = _core.call_unsent(_packed, describe, startable, packing)
    except BaseException:
        _core.withdraw_pins(pins)
        raise
    return Parcel(content, tuple(packing.descriptors), _entrusted(pins))


def _packed(describe: Callable[[], Description], startable: object, packing: _Packing) -> int:
    reduction: Any = stdlib.borrow("reduction")
    with _scope(reduction, packing):
        description = describe()
        pickled = _pickled(startable, packing, by_value=not description.has_main)
    return _written(description, pickled, packing)


def _written(description: Description, pickled: bytes, packing: _Packing) -> int:
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
    return content


def _entrusted(pins: int) -> _core.Memory | None:
    if _core.pins_made() == pins:
        return None
    way = _core.Memory(1)
    way._entrust(pins)
    _core.forget_pins(pins)
    return way


def arrive(descriptors: Sequence[int]) -> None:
    """In the child: what ``Carried`` objects are going to find."""
    global _arrived
    _arrived = descriptors


def _pickled(startable: object, packing: _Packing, *, by_value: bool) -> bytes:
    before = len(packing.descriptors)

    def forget() -> None:
        del packing.descriptors[before:]

    taken = take_apart(startable, by_value=by_value, before_by_value=forget)
    if not taken.parts:
        return taken.inner
    repeats.notice(taken)
    settle(taken, once=True)
    return as_payload(taken, pinned=True)


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
