"""What runs in the children: by its name, so that plain pickle finds it."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

import procession
from procession import sharedctypes


class Point(ctypes.Structure):
    """With a field of each of two types."""

    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))


def make_all() -> dict[str, Any]:
    """One of each sort, without locks."""
    return {
        "value": sharedctypes.RawValue("d", 1.5),
        "point": sharedctypes.RawValue(Point, 1, 2.5),
        "array": sharedctypes.RawArray("i", [1, 2, 3]),
        "large": sharedctypes.RawArray("i", 100_000),
        "points": sharedctypes.RawArray(Point, 3),
        "rows": sharedctypes.RawArray(ctypes.c_short * 3, 2),
        "text": sharedctypes.RawArray("c", b"hello"),
        "wide": sharedctypes.RawArray("u", "hällo"),
        "nothing": sharedctypes.RawArray("i", 0),
    }


def change_all(made: dict[str, Any]) -> dict[str, Any]:
    """Write into each; they are returned."""
    made["value"].value *= 2
    made["point"].x += 10
    made["array"][1:] = [20, 30]
    made["large"][99_999] = 7
    made["points"][2].y = 0.25
    made["rows"][1][2] = 9
    made["text"].value = b"bye"
    made["wide"].value = "tschüß"[:5]
    return made


def is_changed(made: dict[str, Any]) -> bool:
    """Whether each is as change_all() left it."""
    return (
        made["value"].value == 3
        and (made["point"].x, made["point"].y) == (11, 2.5)
        and made["array"][:] == [1, 20, 30]
        and (made["large"][0], made["large"][99_999]) == (0, 7)
        and made["points"][2].y == 0.25
        and made["rows"][1][:] == [0, 0, 9]
        and made["text"].raw == b"bye\0o"
        and made["wide"].value == "tschü"
        and len(made["nothing"]) == 0
    )


def change_and_send(conn: Any, made: dict[str, Any]) -> None:
    """Write into each, and send them back."""
    conn.send(change_all(made))
    conn.close()


def count(counter: Any, times: int) -> None:
    """Count, a step at a time, as many processes do at once."""
    for _ in range(times):
        with counter.get_lock():
            counter.value += 1


def die_while_changing(balance: Any) -> None:
    """Be killed with the lock in hand."""
    with balance.get_lock():
        balance.value += 1
        os.kill(os.getpid(), signal.SIGKILL)


def send_new_ones(conn: Any, end: str) -> None:
    """Make values of one's own, send them, and end: "returns" or "killed"."""
    made = change_all(make_all())
    conn.send(made)
    if end == "killed":
        del made
        conn.recv()  # they have arrived, or it is held up until they have
        os.kill(os.getpid(), signal.SIGKILL)


def wait_then_add(conn: Any, array: Any) -> None:
    """When told to, write into what the parent has dropped by then; send its sum."""
    conn.recv()
    array[0] += 1
    conn.send(sum(array))
    conn.recv()


def add_through_a_grandchild(conn: Any, method: str, array: Any) -> None:
    """Hand it on to a process of one's own."""
    context = procession.get_context(method)
    child = context.Process(target=add_one, args=(array,))
    child.start()
    child.join()
    child.close()
    conn.send(array[:])


def add_one(array: Any) -> Any:
    """To each element; the array is returned."""
    for i in range(len(array)):
        array[i] += 1
    return array


_given: list[Any] = []


def keep(*given: Any) -> None:
    """For a pool's initializer: what add_to_kept() is going to use."""
    _given[:] = given


def add_to_kept(number: int) -> None:
    """Add to the first value that was kept, with its lock."""
    with _given[0].get_lock():
        _given[0].value += number
