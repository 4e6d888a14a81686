"""What the processes of these tests run: importable, so that they can be spawned."""

from __future__ import annotations

import os
import signal
from typing import Any


def echo(questions: Any, answers: Any) -> None:
    """Answer each object with itself, until None comes."""
    while (thing := questions.get()) is not None:
        answers.put(thing)


def put_all(queue: Any, things: list[Any], kill: bool = False) -> None:
    """Put them in, and perhaps die."""
    for thing in things:
        queue.put(thing)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)


def put_and_exit_hard(queue: Any, thing: Any) -> None:
    """End without any of Python's own ending."""
    queue.put(thing)
    os._exit(0)


def take(queue: Any, count: int, done: int, report: Any, *, leaves: bool = False) -> None:
    """Take so many objects, mark some as done, tell, and stay until killed (or leave)."""
    for _ in range(count):
        queue.get()
    for _ in range(done):
        queue.task_done()
    report.put(os.getpid())
    while not leaves:
        signal.pause()


def outcome(report: Any, name: str, thing: Any, *arguments: Any) -> None:
    """Call a method; report its value, or the name of what it raises."""
    report.put("about to")
    try:
        report.put(getattr(thing, name)(*arguments))
    except Exception as error:
        report.put(type(error).__name__)


def work(queue: Any, results: Any) -> None:
    """Take, square and mark as done, until it is shut down."""
    while True:
        try:
            number = queue.get()
        except Exception as error:
            results.put(type(error).__name__)
            return
        results.put(number * number)
        queue.task_done()


def send_back(queue: Any) -> None:
    """Take a queue out of a queue, and a connection, and use them."""
    inner, connection = queue.get()
    inner.put(inner.get() + 1)
    connection.send("by the connection")
    connection.close()
