"""How a child ends is known, and whoever wants can wait for it or bring it about."""

from __future__ import annotations

import contextlib
import selectors
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from procession import connection
from tests.plugins.scripts import LIMIT
from tests.start import targets


def code_of(ctx: Any, target: Any, *args: object) -> int | None:
    """Run a process to its end; its exit code."""
    child = ctx.Process(target=target, args=args)
    child.start()
    child.join()
    code: int | None = child.exitcode
    child.close()
    return code


@contextlib.contextmanager
def waiting(ctx: Any, target: Any = targets.say_and_wait) -> Iterator[Any]:
    """A child that has said that it runs."""
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=target, args=(writer,))
    child.start()
    writer.close()
    try:
        with reader:
            assert reader.recv() == "runs"
        yield child
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize(
    ("value", "code"), [(None, 0), (0, 0), (7, 7), (True, 1), ("text", 1), (256 + 3, 3), (-1, 255)]
)
def test_values_of_sys_exit(ctx: Any, value: object, code: int) -> None:
    assert code_of(ctx, targets.leave, value) == code


def test_an_exception_is_exit_code_one(ctx: Any) -> None:
    assert code_of(ctx, targets.raise_value_error, "oh") == 1


def test_an_end_without_cleaning_up(ctx: Any) -> None:
    assert code_of(ctx, targets.leave_at_once, 9) == 9


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_is_a_negative_exit_code(ctx: Any, signum: int) -> None:
    assert code_of(ctx, targets.signal_itself, signum) == -signum


def test_terminate_kill_interrupt(ctx: Any) -> None:
    for method, code in (("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)):
        with waiting(ctx) as child:
            getattr(child, method)()
            child.join()
            assert child.exitcode == code
    with waiting(ctx, targets.say_and_wait_for_interrupt) as child:
        child.interrupt()
        child.join()
        assert child.exitcode == 7


def test_states_from_start_to_close(ctx: Any) -> None:
    fresh = ctx.Process(target=int)
    assert not fresh.is_alive()
    assert fresh.exitcode is None
    with pytest.raises(ValueError, match="not started"):
        _ = fresh.sentinel
    with waiting(ctx) as child:
        assert child.is_alive()
        assert child.exitcode is None
        assert child in ctx.active_children()
        child.join(timeout=0)
        assert child.is_alive()
        with pytest.raises(ValueError, match="still running"):
            child.close()
    assert not child.is_alive()
    assert child not in ctx.active_children()
    child.close()
    with pytest.raises(ValueError, match="closed"):
        child.is_alive()


def test_a_second_start_is_refused(ctx: Any) -> None:
    with waiting(ctx) as child, pytest.raises(AssertionError, match="twice"):
        child.start()


def test_sentinels_with_wait_and_selectors(ctx: Any) -> None:
    with waiting(ctx) as first, waiting(ctx) as second:
        both = [first.sentinel, second.sentinel]
        assert connection.wait(both, timeout=0) == []
        second.terminate()
        assert connection.wait(both, timeout=LIMIT) == [second.sentinel]
        with selectors.DefaultSelector() as selector:
            for sentinel in both:
                selector.register(sentinel, selectors.EVENT_READ)
            ready = selector.select(LIMIT)
            assert [key.fd for key, _ in ready] == [second.sentinel]
        second.join()
        assert second.exitcode == -signal.SIGTERM


def test_a_daemon_may_not_have_children(ctx: Any) -> None:
    def attempt(conn: Any) -> None:
        try:
            ctx.Process(target=int).start()
        except AssertionError as error:
            conn.send(str(error))

    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=attempt, args=(writer,), daemon=True)
    child.start()
    with reader, writer:
        assert "daemonic" in reader.recv()
    child.join()
    assert child.exitcode == 0


def test_a_daemons_child_would_be_a_daemon(ctx: Any) -> None:
    def ask(conn: Any) -> None:
        conn.send(ctx.Process(target=int).daemon)

    for daemon in (False, True):
        reader, writer = ctx.Pipe(duplex=False)
        child = ctx.Process(target=ask, args=(writer,), daemon=daemon)
        child.start()
        with reader, writer:
            assert reader.recv() is daemon
        child.join()
