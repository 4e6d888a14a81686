"""The child's side of every start by parcel: unpack, prepare the interpreter, run, leave."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import BinaryIO, NoReturn

from procession._launch import child, door, learning, methods, parcel, preparation, streams
from procession._launch.preparation import Preparation

_rehearsals: list[Callable[[], object]] = []


def also_rehearse(rehearsal: Callable[[], object]) -> None:
    """Have a function called in children that wait: it does what a child does first."""
    _rehearsals.append(rehearsal)


def live(content: int, descriptors: Sequence[int], line: int = -1) -> NoReturn:
    """Be the child that a parcel describes, from here to its end. Never returns, never raises.

    Signals are held back until its process object is about to be made.

    Args:
        content, descriptors: the parcel's, by their numbers here.
        line: on which the parent says when it knows of us; -1 if it does already.
    """
    code = 1
    try:
        streams.occupy()
        for fd in (content, *descriptors):
            os.set_inheritable(fd, False)
        parcel.arrive(descriptors)
        with open(content, "rb") as file:
            prepare: Preparation = pickle.load(file)
            prepare.tie()
            prepare.settle()
            if prepare.output is None:  # a fork of the zygote has done so already
                streams.enter_child(parent_had_threads=False)
            if prepare.zygote is not None:
                door.lead_to(prepare.zygote.detach())
            if line >= 0:
                _await_word(line)
            code = _run(prepare, file)
    except BaseException:
        streams.report(traceback.format_exc())
    finally:
        os._exit(code & 0xFF)


def _await_word(line: int) -> None:
    word = b""
    with contextlib.suppress(ConnectionError):
        word = os.read(line, 16)
    if not word:
        os._exit(1)  # whoever asked has gone, or was interrupted: we are not to be
    os.close(line)


def _run(prepare: Preparation, file: BinaryIO) -> int:
    unpacked: list[methods.Startable] = []

    def entry() -> int:
        child.set_signal_mask(signal.SIG_SETMASK, prepare.mask)
        prepare.apply()
        unpacked.append(pickle.load(file))
        file.close()
        try:
            return unpacked[0]._bootstrap()
        finally:
            learning.tell()

    return child.run(entry, lambda: unpacked[0].name if unpacked else prepare.title)


def rehearse(prepare: Preparation) -> None:
    """In a child that waits: go through live()'s motions with another's preparation.

    The first change to a page makes a copy of it, and the first call of a function finds its code
    in no cache: it is done before anybody waits for it.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    os.write(write, pickle.dumps(prepare))
    os.close(write)
    with open(read, "rb") as file:
        again: Preparation = pickle.load(file)
    again.inform()
    # If it could not be imported in the zygote it is left to a child that is asked for.
    if sys.modules["__main__"].__name__ == preparation.MAIN_AGAIN:
        again.import_main()
    preparation.remember_environment()
    for rehearsal in _rehearsals:
        rehearsal()
