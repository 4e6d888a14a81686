"""What runs in the children: by its name, so that plain pickle finds it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, NoReturn

import procession
from procession import context

LIMIT = 60.0
"""As in ``tests.plugins.scripts``, which would have each child load pytest."""


def send(conn: Any, *values: object) -> None:
    """Send the values, as one list."""
    conn.send(list(values))
    conn.close()


def send_arguments(conn: Any, *args: object, **kwargs: object) -> None:
    """Send what it was called with."""
    conn.send((args, kwargs))


def send_identity(conn: Any) -> None:
    """Send what the child knows of itself and of its parent."""
    me, parent = procession.current_process(), procession.parent_process()
    assert parent is not None
    conn.send(
        {
            "name": me.name,
            "pid": me.pid,
            "is_own": me.pid == os.getpid(),
            "authkey": bytes(me.authkey),
            "daemon": me.daemon,
            "alive": me.is_alive(),
            "children": procession.active_children(),
            "method": procession.get_start_method(),
            "parent name": parent.name,
            "parent pid": parent.pid,
            "parent is own": parent.pid == os.getppid(),
            "parent alive": parent.is_alive(),
            "parent sentinel": parent.sentinel >= 0,
        }
    )


def raise_value_error(text: str) -> NoReturn:
    """Fail with a text."""
    raise ValueError(text)


def leave(value: Any) -> NoReturn:
    """End by SystemExit."""
    sys.exit(value)


def leave_at_once(code: int) -> NoReturn:
    """End without any cleaning up."""
    os._exit(code)


def signal_itself(signum: int) -> None:
    """End by a signal that does what it does by default."""
    if signum != signal.SIGKILL:
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    threading.Event().wait(LIMIT)


def say_and_wait(conn: Any) -> None:
    """Say that it runs, and then do nothing."""
    conn.send("runs")
    threading.Event().wait(LIMIT)


def say_and_wait_for_interrupt(conn: Any) -> NoReturn:
    """Exit code 7 if a KeyboardInterrupt comes."""
    try:
        say_and_wait(conn)
    except KeyboardInterrupt:
        sys.exit(7)
    sys.exit(8)


def wait_for(conn: Any) -> None:
    """End when something is sent, or the other end closed."""
    conn.poll(None)


def start_another(conn: Any, methods: list[str]) -> None:
    """Start a child by the first method, which starts one by the second, and so on."""
    me = procession.current_process()
    if not methods:
        conn.send((me.name, os.getppid()))
        return
    child = context.get_context(methods[0]).Process(
        target=start_another, args=(conn, methods[1:]), name=f"{me.name}/{methods[0]}"
    )
    child.start()
    child.join()
    assert child.exitcode == 0


def fill(queue: Any, count: int) -> None:
    """Put numbers; the feeder thread is flushed at the end of the process."""
    for number in range(count):
        queue.put(number)


def add_under_lock(lock: Any, value: Any, times: int) -> None:
    """Count up, which is only right under the lock."""
    for _ in range(times):
        with lock:
            value.value += 1


def talk_over_socket(sock: Any) -> None:
    """Answer once, in capitals."""
    with sock:
        sock.sendall(sock.recv(64).upper())


def watch_parent(conn: Any) -> None:
    """Join the parent, and say so."""
    parent = procession.parent_process()
    assert parent is not None
    parent.join(timeout=0)
    conn.send(parent.is_alive())


def square(number: int) -> int:
    """For pools."""
    return number * number


def pid_of(_: object = None) -> int:
    """For pools: who did it."""
    return os.getpid()


def name_of_worker(_: object = None) -> str:
    """For pools: the name of who did it."""
    return procession.current_process().name


def die(signum: int) -> None:
    """For pools: the worker is killed."""
    os.kill(os.getpid(), signum)
    threading.Event().wait(LIMIT)


STATE: dict[str, object] = {}


def remember(**values: object) -> None:
    """For pools: an initializer."""
    STATE.update(values)


def remember_pair(name: str, value: object) -> None:
    """For pools: an initializer with positional arguments."""
    STATE[name] = value


def recall(name: str) -> object:
    """For pools: what the initializer was told."""
    return STATE.get(name)


def pool_in_pool(method: str) -> list[int]:
    """For pools: one that a worker makes."""
    with context.get_context(method).Pool(1) as pool:
        return pool.map(square, [1, 2, 3])
