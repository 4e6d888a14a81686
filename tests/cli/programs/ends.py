"""Ends in the way that the first argument names, with somebody to be called after that."""

from __future__ import annotations

import atexit
import sys
import threading
from types import TracebackType

go_on = threading.Event()


def work() -> None:
    go_on.wait()
    print("thread", flush=True)


def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    assert trace is not None
    print("hook", kind.__name__, error, trace.tb_frame.f_code.co_name, trace.tb_lineno, flush=True)
    go_on.set()


def fail() -> None:
    try:
        _ = 1 // 0
    except ZeroDivisionError as error:
        raise ValueError("wrong") from error


if __name__ == "__main__":
    how = sys.argv[1]
    atexit.register(print, "exit function, and this is not flushed", end="")
    if how == "hook":
        sys.excepthook = hook
        # It outlives the main thread.
        threading.Thread(target=work).start()
        fail()
    if how == "exception":
        fail()
    if how == "group":
        raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "exit":
        sys.exit(eval(sys.argv[2]))
