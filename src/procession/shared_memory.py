"""Blocks of shared memory with a name, and lists in them.

They are POSIX shared memory, open to processes of any kind that know the name: a program on the
standard library's module, too, and the other way round. What a process creates belongs to its
family: the program, and the processes it has started. Call ``unlink()`` when nobody needs it any
more; what is left when the family has ended, in whatever way, is unlinked then or at the next use
of this module. A process that only opens a block is never responsible for it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import struct
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from procession._named import segments
from procession._named.places import Identity

__all__ = ["ShareableList", "SharedMemory"]

_USE_POSIX = True
_SHM_NAME_PREFIX = "/psm_"
_RANDOM_BYTES = 4


def _make_filename() -> str:
    """A name that is probably not in use."""
    return _SHM_NAME_PREFIX + secrets.token_hex(_RANDOM_BYTES)


def _references(held: Sequence[object]) -> int:
    """How many there are to an object, with those that counting takes."""
    return sys.getrefcount(held[0])


_view = memoryview(bytearray(1))
_ONLY_VIEWED = _references([_view.obj])

# A descriptor of its own would be closed at the end under whatever number the program has by then
# given to another file.
_MAPPED: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


class SharedMemory:
    """A block of shared memory: a new one, or one that another process has created.

    ``buf`` gives its bytes. Pickled, it travels as its name: whoever unpickles it opens the same
    block.

    Args:
        name: of the block; a new one is named at random without it.
        create: whether to create it.
        size: in bytes, of a new one. All of it is reserved at once.
        track: whether a new one is unlinked when this process's family has ended. Nothing for one
            that exists.

    Raises:
        ValueError: the size is not positive, or an existing block was asked for without a name.
        FileExistsError: create=True, and there is a block with this name.
        FileNotFoundError: create=False, and there is none.
        OSError: there is no room in /dev/shm, or it can not be opened.
    """

    _name: str | None = None
    _fd = -1
    _mmap: mmap.mmap | None = None
    _buf: memoryview | None = None
    _flags = os.O_RDWR
    _mode = 0o600
    _prepend_leading_slash = True
    _track = True
    _size = 0
    _identity: Identity | None = None
    _silence = contextlib.suppress(OSError, AttributeError, TypeError)

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True
    ) -> None:
        if not size >= 0:
            raise ValueError("'size' must be a positive integer")
        if create:
            self._flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
            if size == 0:
                raise ValueError("'size' must be a positive number different from zero")
        if name is None and not self._flags & os.O_EXCL:
            raise ValueError("'name' can only be None if create=True")
        self._track = track
        if name is not None:
            self._open("/" + name if self._prepend_leading_slash else name, create, size)
        while name is None and self._fd < 0:
            try:
                self._open(_make_filename(), create, size)
            except FileExistsError:
                continue
        try:
            self._size = os.fstat(self._fd).st_size
            self._mmap = mmap.mmap(self._fd, self._size, **_MAPPED)
        except BaseException:
            if create:
                self.unlink()
            self.close()
            raise
        self._buf = memoryview(self._mmap)

    def _open(self, name: str, create: bool, size: int) -> None:
        if create:
            self._fd = segments.create(name, size, self._mode, tracked=self._track)
        else:
            self._fd = segments.attach(name, self._flags, self._mode)
        self._name = name
        self._identity = Identity.of(self._fd)

    def __del__(self) -> None:
        # Nothing is unmapped here: views of ``buf`` may be in use, and keep what they need. And
        # modules may have lost their names, at an exit.
        with self._silence:
            self._close_descriptor()

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.name, False, self.size)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.name!r}, size={self.size})"

    @property
    def buf(self) -> memoryview:
        """The bytes of the block; None once it is closed."""
        return cast(memoryview, self._buf)

    @property
    def name(self) -> str:
        """The name of the block."""
        name = cast(str, self._name)
        return name[1:] if self._prepend_leading_slash and name.startswith("/") else name

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self._size

    def close(self) -> None:
        """Let go of the block, which stays for others. Again: nothing.

        What `numpy.ndarray` made of ``buf`` keeps the memory mapped until it goes.

        Raises BufferError, and does nothing, if there are other views: slices of ``buf``, or what
        `numpy.frombuffer` makes. Drop them first.
        """
        if self._mmap is not None and self._buf is not None:
            mapped, self._mmap = [self._mmap], None
            if _references(mapped) == _ONLY_VIEWED:
                try:
                    self._buf.release()
                    mapped[0].close()
                except BufferError:
                    self._mmap = mapped[0]
                    self._buf = memoryview(self._mmap)
                    raise
        self._buf = self._mmap = None
        self._close_descriptor()

    def _close_descriptor(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def unlink(self) -> None:
        """Take its name from the block. It is gone once all that have it open have closed it.

        To be called once, in any of the processes.

        Raises FileNotFoundError if it has no name any more.
        """
        if self._name:
            segments.unlink(self._name, self._identity)


# How a ShareableList lies in its block; numbers are 64-bit integers, in the machine's order:
#
#     N                    how many items
#     N + 1 offsets        where each item begins, from the first one's beginning; and their end
#     the items            each as its format says, 8 bytes or a multiple of it
#     N formats            8 bytes each: as `struct` has them, filled up with zeros
#     N codes              1 byte each: what makes the item of what is unpacked (_RESTORE)

_WORD = 8
_ENCODING = "utf8"
_FORMATS: dict[type, str] = {
    int: "q",
    float: "d",
    bool: "xxxxxxx?",
    types.NoneType: "xxxxxx?x",
}
_AS_IT_IS, _TEXT, _BYTES, _NONE = range(4)
_RESTORE: dict[int, Callable[[Any], Any]] = {
    _AS_IT_IS: lambda value: value,
    _TEXT: lambda value: value.rstrip(b"\0").decode(_ENCODING),
    _BYTES: lambda value: value.rstrip(b"\0"),
    _NONE: lambda _: None,
}


def _code(value: object) -> int:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, bytes):
        return _BYTES
    return _NONE if value is None else _AS_IT_IS


def _lay_out(items: list[Any]) -> bytes:
    """The content of a block for these items."""
    offsets, formats, data = [0], [], []
    for item in items:
        value = item.encode(_ENCODING) if isinstance(item, str) else item
        if isinstance(value, bytes):
            # For its characters and one more; but never less than it takes as bytes.
            words = max(len(item) // _WORD + 1, -(-len(value) // _WORD))
            text = f"{_WORD * words}s"
            if len(text) > _WORD:
                raise ValueError("bytes/str item is too long for a ShareableList: 9,999,999 bytes")
        else:
            text = _FORMATS[type(value)]
        formats.append(text)
        data.append(struct.pack(text, value))
        offsets.append(offsets[-1] + len(data[-1]))
    head = struct.pack(f"{len(items) + 2}q", len(items), *offsets)
    texts = struct.pack("8s" * len(items), *(text.encode() for text in formats))
    return b"".join([head, *data, texts, bytes(map(_code, items))])


class ShareableList:
    """A list in a block of shared memory: its length is fixed, its items can be replaced.

    Items are int (64 bits), float, bool, None, str and bytes. A str or bytes item has room for what
    it was made with, rounded up to the next multiple of 8 bytes; zero bytes at its end are lost.
    Processes that write and read the same item at one time must agree on turns.

    Args:
        sequence: the items of a new list.
        name: of the block: a new one's, or without `sequence`, that of the list to open.

    Raises:
        KeyError: the type of an item is none of these.
        ValueError: an item is too long.
        struct.error: an int has more than 64 bits.
        OSError: as SharedMemory.
    """

    shm: SharedMemory
    """The block it lies in: for close() and unlink()."""

    __class_getitem__: ClassVar[Any] = classmethod(types.GenericAlias)

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        if sequence is not None or name is None:
            content = _lay_out([] if sequence is None else list(sequence))
            self.shm = SharedMemory(name, create=True, size=len(content))
            self.shm.buf[: len(content)] = content
        else:
            self.shm = SharedMemory(name)
        self._list_len = len(self)
        self._offsets: tuple[int, ...] = struct.unpack_from(
            f"{self._list_len + 1}q", self.shm.buf, _WORD
        )
        self._data_at = (self._list_len + 2) * _WORD
        self._formats_at = self._data_at + self._offsets[-1]
        self._codes_at = self._formats_at + self._list_len * _WORD

    def _position(self, position: int, message: str) -> int:
        found = position if position >= 0 else position + self._list_len
        if not 0 <= found < self._list_len:
            raise IndexError(message)
        return found

    def _get_packing_format(self, position: int) -> str:
        """How the item at a position is packed, as `struct` has it."""
        at = self._position(position, "Requested position out of range.")
        (text,) = struct.unpack_from("8s", self.shm.buf, self._formats_at + at * _WORD)
        return cast(bytes, text).rstrip(b"\0").decode()

    def __getitem__(self, position: int) -> Any:
        at = self._position(position, "index out of range")
        text = self._get_packing_format(at)
        (value,) = struct.unpack_from(text, self.shm.buf, self._data_at + self._offsets[at])
        return _RESTORE[self.shm.buf[self._codes_at + at]](value)

    def __setitem__(self, position: int, value: Any) -> None:
        at = self._position(position, "assignment index out of range")
        packed = value.encode(_ENCODING) if isinstance(value, str) else value
        if isinstance(packed, bytes):
            room = self._offsets[at + 1] - self._offsets[at]
            if len(packed) > room:
                raise ValueError("bytes/str item exceeds available storage")
            text = f"{room}s"
        else:
            text = _FORMATS[type(packed)]
        data = struct.pack(text, packed)  # raises before anything is changed
        struct.pack_into("8s", self.shm.buf, self._formats_at + at * _WORD, text.encode())
        self.shm.buf[self._codes_at + at] = _code(value)
        begin = self._data_at + self._offsets[at]
        self.shm.buf[begin : begin + len(data)] = data

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(self.__class__, name=self.shm.name), ()

    def __len__(self) -> int:
        length: int = struct.unpack_from("q", self.shm.buf, 0)[0]
        return length

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(self._list_len))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({list(self)}, name={self.shm.name!r})"

    @property
    def format(self) -> str:
        """How all items are packed, as `struct` has it."""
        return "".join(map(self._get_packing_format, range(self._list_len)))

    def count(self, value: object) -> int:
        """How many items equal `value`."""
        return sum(value == item for item in self)

    def index(self, value: object) -> int:
        """The first position of `value`. Raises ValueError if it is not there."""
        for position, item in enumerate(self):
            if value == item:
                return position
        raise ValueError(f"{value!r} not in this container")
