"""Arguments and results as bytes, with what is large in them apart: the doors of this room.

What is small is a plain pickle, made by the core at once (``_core.quick_dumps``). What has large
buffers is taken apart (``apart``), and these are copied to shared memory, once:

- *arguments* (``dumps_task``, ``dumps_apart``) to a ``Memory``. What is sent is a pickle again, so
  whoever sends it, again or elsewhere, need not know: it names the memory, and unpickled it opens
  it. It is a ``Payload``, which keeps the memory meanwhile.
- *results* and items of queues (``dumps_answer``) to the block that they travel in: the pickle, and
  behind it the buffers. Its receiver has that block as a memory, for ``loads_apart``.

What lies in frozen memory already is named, not copied.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Self

from procession import _core
from procession._codec import arrays, repeats
from procession._codec.apart import (
    LEAST_APART,
    OWN,
    PRIVATE,
    Apart,
    Layout,
    Part,
    Refusal,
    opened,
    take_apart,
    take_each_apart,
)
from procession._codec.given import Given
from procession._codec.items import Pickled
from procession._codec.objects import PROTOCOL, REFUSALS, loads, reducers
from procession._codec.ties import are_untied, is_unchanging

_quick_dumps = _core.quick_dumps

_HEAD = 8  # bytes before an answer's body: its length
_ALIGNMENT = 64  # of what comes behind it


class Payload(bytes):
    """A pickle that names shared memory.

    Attributes:
        kept: the memories that it names: they must be held until it is answered.
        size: bytes in all.
    """

    kept: Sequence[_core.Memory]
    size: int

    def __new__(cls, content: bytes, kept: Sequence[_core.Memory], size: int) -> Self:
        self = super().__new__(cls, content)
        self.kept = kept
        self.size = size
        return self


class _Opened:
    """Pickled in the place of an object that was taken apart."""

    __slots__ = ("inner", "layout")

    def __init__(self, layout: Layout, inner: bytes) -> None:
        self.layout = layout
        self.inner = inner

    def __reduce__(self) -> tuple[Any, ...]:
        return opened, (self.layout, self.inner)


class TooLarge(Exception):
    """What is to be sent has more bytes than was asked for.

    Attributes:
        size: bytes that were to be copied.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class ItemRefused(Exception):
    """Of items that are pickled each by itself one can not be.

    Attributes:
        refusal: which, and why.
        payload: those before it.
    """

    def __init__(self, refusal: Refusal, payload: bytes) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal
        self.payload = payload


def dumps_task(
    value: object,
    *,
    once: bool,
    by_value: bool = False,
    look: bool = True,
    most: int | None = None,
    call: object = None,
) -> bytes | Payload:
    """Arguments as a pickle; see ``dumps_apart``. Does not wait for room.

    Args:
        value, once, by_value: as there.
        look: whether there is anything large in it. Else there is, most likely.
        most: bytes that may be copied.
        call: stands for a call during which nothing changes of what is sent.

    Raises:
        ArenaFull: there is none now.
        TooLarge: more than `most` bytes would have to be copied. Nothing was.
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    if by_value or not look:
        taken = take_apart(value, by_value=by_value)
    elif len(reducers.table) == reducers.harmless or reducers.are_harmless():
        # The hot path: no call of ours but this one.
        try:
            made = _quick_dumps(value)
            if made is not None:
                return made
        except REFUSALS as error:
            taken = take_apart(value, error=error)
        else:
            taken = take_apart(value)
    else:
        taken = take_apart(value)
    return _sent(taken, once=once, sharing=True, wait=False, most=most, call=call)


def _plainly_or_apart(value: object) -> bytes | Apart:
    """As ``dumps_task`` has it, where a call of ours more does not matter."""
    if not reducers.are_harmless():
        return take_apart(value)
    try:
        made = _quick_dumps(value)
    except REFUSALS as error:
        return take_apart(value, error=error)
    return take_apart(value) if made is None else made


def dumps_apart(
    value: object,
    *,
    once: bool,
    pinned: bool = False,
    by_value: bool = False,
    least: int = LEAST_APART,
    wait: bool = True,
) -> bytes | Payload:
    """``value`` as a pickle, for ``loads``; what is large in it goes to shared memory.

    Args:
        value: any object.
        once: it is unpickled once only, by one receiver: who may then write to the memory itself.
            Else each gets copy-on-write views.
        pinned: the names keep the memory until they have arrived, as a lock's do. Else a
            ``Payload`` has to be kept until then.
        by_value: do not try plain pickle.
        least: bytes that a buffer has at least that goes apart.
        wait: for room, as long as there is hope.

    Raises:
        ArenaFull: there is no room for it.
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    taken = take_apart(value, least=least, by_value=by_value)
    return _sent(taken, once=once, pinned=pinned, wait=wait)


def _sent(
    taken: Apart,
    *,
    once: bool,
    wait: bool,
    pinned: bool = False,
    sharing: bool = False,
    most: int | None = None,
    call: object = None,
) -> bytes | Payload:
    if not taken.parts:
        return taken.inner
    try:
        if sharing:
            repeats.notice(taken, call=call)
        if most is not None:
            size = sum(view.nbytes for view in taken.fresh())
            if size > most:
                raise TooLarge(size)
        settle(taken, once=once, wait=wait)
        return as_payload(taken, pinned=pinned)
    except BaseException:
        _core.withdraw_pins(taken.pins)  # it is not sent, and may be pickled again
        if sharing:
            repeats.take_back(taken)
        taken.parts.clear()  # as in _Stream.filled()
        raise


def settle(taken: Apart, *, once: bool, wait: bool = True) -> None:
    """Copy to shared memory what is not there yet. See ``dumps_apart``.

    Raises:
        ArenaFull: there is no room for it.
    """
    fresh = taken.fresh()
    if not fresh:
        return
    try:
        memory = _core.Memory.holding(fresh, wait=wait)
    except BaseException:
        fresh.clear()  # as in _Stream.filled()
        raise
    taken.settle(memory, OWN if once else PRIVATE)


def as_payload(taken: Apart, *, pinned: bool = False) -> Payload:
    """What was settled as a pickle. See ``dumps_apart``."""
    content = pickle.dumps(_Opened(taken.layout(pinned=pinned), taken.inner), PROTOCOL)
    return Payload(content, taken.kept(), len(content) + sum(map(_length, taken.parts)))


def _length(part: Part) -> int:
    return part.view.nbytes


def dumps_answer(value: object) -> bytes | tuple[bytes, list[memoryview]]:
    """A result, or an item of a queue: a pickle, or a body and the buffers that go behind it.

    Raises:
        Exception: whatever plain pickle raised, when by value does not work either.
    """
    if len(reducers.table) == reducers.harmless or reducers.are_harmless():
        # The hot path, as in dumps_task: what the two have in common would be a call more.
        try:
            made = _quick_dumps(value)
            if made is not None:
                return made
        except REFUSALS as error:
            taken = take_apart(value, error=error)
        else:
            taken = take_apart(value)
    else:
        taken = take_apart(value)
    if not taken.parts:
        return taken.inner
    fresh = taken.fresh()
    if not fresh:
        return as_payload(taken, pinned=True)
    return pickle.dumps((taken.layout(pinned=True), taken.inner), PROTOCOL), fresh


def loads_apart(payload: _core.Memory | bytearray | Given) -> Any:
    """A result that came with its buffers, in one piece, or did not travel. Runs code of the
    user's."""
    if isinstance(payload, Given):
        return payload.value
    return loads_beside(*body_and_rest(payload))


def body_and_rest(payload: _core.Memory | bytearray) -> tuple[memoryview, memoryview]:
    """The body of what came in one piece, and the buffers behind it.

    Raises:
        ValueError: it is not so laid out.
    """
    whole = memoryview(payload)
    end = _HEAD + int.from_bytes(whole[:_HEAD], "little")
    if end > len(whole):
        raise ValueError("a payload ends before its body does")
    return whole[_HEAD:end], whole[end + -end % _ALIGNMENT :]


def loads_beside(body: bytes | memoryview, rest: memoryview) -> Any:
    """What ``dumps_answer`` made a body of, with the buffers that came behind it."""
    layout, inner = loads(body)
    return opened(layout, inner, rest)


def dumps_items(
    items: Sequence[Any],
    *,
    once: bool = False,
    each: bool = False,
    most: int | None = None,
    call: object = None,
) -> bytes | Payload:
    """The items of a chunk for ``items.loads_items``; see ``dumps_task``.

    Args:
        each: they know nothing of one another, as if each was sent by itself. Else they have in
            common what they have in common here.

    Raises:
        ItemRefused: one that was pickled by itself can not be.
        Exception: as ``dumps_task``.
    """
    numbers = _core.pack_numbers(items) if type(items) is list else None
    if numbers:
        return numbers
    if each and are_for_themselves(items):
        taken, refusal = take_each_apart(items, _plainly_or_apart)
        payload = _sent(taken, once=once, sharing=True, wait=False, most=most, call=call)
        if refusal is not None:
            raise ItemRefused(refusal, payload)
        return payload
    return dumps_task(items, once=once, most=most, call=call)


def are_for_themselves(items: Sequence[Any]) -> bool:
    """Whether items that know nothing of one another have to be pickled each by itself."""
    if type(items) is range:
        return False
    return type(items[0]) is Pickled if len(items) == 1 else not are_untied(items)


def pickled_at_once(item: Any, take: Callable[[Any], bytes | Apart] | None = None) -> Any:
    """An item as it is now: it may change before it is sent.

    Args:
        take: pickles it; None: as ``dumps_task``.

    Returns:
        The item, if it can not change; or a ``Pickled``. None: it is too large to be kept so, or
        has a name of shared memory in it: it has to be sent as long as it is what it is.
    """
    if type(item) is Pickled or is_unchanging(item):
        return item
    pins = _core.pins_made()
    try:
        taken = (take or _plainly_or_apart)(item)
    except Exception as error:
        return Pickled(b"", error)
    if _core.pins_made() == pins and (isinstance(taken, bytes) or not taken.parts):
        return Pickled(taken if isinstance(taken, bytes) else taken.inner)
    _core.withdraw_pins(pins)
    return None


def size_of(payload: Any) -> int:
    """Bytes of what was dumped, or received, in all."""
    if type(payload) is bytes:
        return len(payload)
    if type(payload) is tuple:
        body, parts = payload
        return len(body) + sum(map(len, parts))
    return payload.size if isinstance(payload, (Payload, _core.Memory)) else len(payload)


_core.heavy_types(arrays.heavy)
