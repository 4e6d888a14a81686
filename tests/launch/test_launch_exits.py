"""Exit functions: each once, in their order, whatever the others do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._launch import exits
from procession._launch.exits import register_exit

_ENDER = 0.5  # where the children's end stands among the priorities: after 0, before -1


@pytest.fixture
def order() -> Iterator[list[object]]:
    """What has run. The registrations and children of the test runner are out of its reach."""
    ran: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exits, "_handles", {})
        patch.setattr(exits, "_end_children", lambda: ran.append("children"))
        yield ran


def test_the_highest_priority_comes_first_and_the_younger_of_equals(order: list[object]) -> None:
    for priority in (0, 10, -1, 10, -20):
        number = len(exits._handles)
        register_exit(partial(order.append, (priority, number)), priority=priority)
    exits.run()
    assert order == [(10, 3), (10, 1), (0, 0), "children", (-1, 2), (-20, 4)]


def test_what_has_run_does_not_run_again(order: list[object]) -> None:
    register_exit(lambda: order.append("function"), priority=0)
    exits.run()
    exits.run()
    assert order == ["function", "children", "children"]


def test_what_is_cancelled_does_not_run(order: list[object]) -> None:
    handle = register_exit(lambda: order.append("never"), priority=0)
    other = register_exit(lambda: order.append("other"), priority=0)
    handle.cancel()
    handle.cancel()
    exits.run()
    other.cancel()
    assert order == ["other", "children"]


def test_a_function_may_register_and_cancel_others(order: list[object]) -> None:
    last = register_exit(lambda: order.append("never"), priority=-5)
    middle = register_exit(lambda: order.append("never"), priority=5)

    def first() -> None:
        order.append("first")
        middle.cancel()
        last.cancel()
        register_exit(lambda: order.append("higher"), priority=20)
        register_exit(lambda: order.append("lower"), priority=-1)

    register_exit(first, priority=10)
    exits.run()
    assert order == ["first", "higher", "children", "lower"]


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_one_that_raises_is_reported_and_keeps_none_from_running(
    order: list[object], error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error("at exit")

    register_exit(lambda: order.append("before"), priority=2)
    register_exit(fail, priority=1)
    register_exit(lambda: order.append("after"), priority=-1)
    exits.set_child_ender(fail)
    exits.run()
    assert order == ["before", "after"]
    assert capsys.readouterr().err.count(f"{error.__name__}: at exit\n") == 2


@given(st.lists(st.tuples(st.integers(-30, 30), st.booleans()), max_size=12))
def test_the_order_is_that_of_the_priorities_whatever_they_are(
    registrations: list[tuple[int, bool]],
) -> None:
    ran: list[tuple[float, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exits, "_handles", {})
        patch.setattr(exits, "_end_children", lambda: ran.append((-_ENDER, 0)))
        expected = [(-_ENDER, 0)]
        for age, (priority, cancelled) in enumerate(registrations):
            handle = register_exit(partial(ran.append, (priority, age)), priority=priority)
            if cancelled:
                handle.cancel()
            else:
                expected.append((priority, age))
        exits.run()
    assert ran == sorted(expected, reverse=True)


@pytest.fixture
def ends(order: list[object]) -> Iterator[list[type[BaseException]]]:
    """What the end of the children is going to raise, in turn."""
    raised: list[type[BaseException]] = []

    def end() -> None:
        order.append("children")
        if raised:
            raise raised.pop(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exits, "_interrupts", 0)
        patch.setattr(exits, "_is_killing", False)
        patch.setattr(exits, "_end_children", end)
        patch.setattr(exits, "_kill_children", lambda: order.append("killed"))
        yield raised


def test_a_first_interrupt_does_not_end_the_wait(
    order: list[object], ends: list[type[BaseException]]
) -> None:
    ends.append(KeyboardInterrupt)
    register_exit(lambda: order.append("after"), priority=-1)
    with pytest.raises(KeyboardInterrupt):
        exits.run()
    exits.run()  # it is told once
    assert order == ["children", "children", "after", "children"]


def test_a_second_interrupt_kills(order: list[object], ends: list[type[BaseException]]) -> None:
    ends += [KeyboardInterrupt] * 2
    register_exit(lambda: order.append("after"), priority=-1)
    with pytest.raises(KeyboardInterrupt):
        exits.run()
    assert order == ["children", "children", "killed", "after"]


def test_the_first_may_have_ended_the_program(
    order: list[object], ends: list[type[BaseException]]
) -> None:
    exits.interrupted(KeyboardInterrupt())
    ends.append(KeyboardInterrupt)
    exits.run()
    assert order == ["children", "killed"]


def test_both_may_have_come_before(order: list[object], ends: list[type[BaseException]]) -> None:
    second = KeyboardInterrupt()
    second.__context__ = KeyboardInterrupt()
    exits.interrupted(second)
    exits.run()
    assert order == ["killed", "children"]


def test_an_interrupted_exit_function_counts(
    order: list[object], ends: list[type[BaseException]]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    register_exit(interrupt, priority=2)
    register_exit(interrupt, priority=1)
    with pytest.raises(KeyboardInterrupt):
        exits.run()
    assert order == ["killed", "children"]


def test_nothing_is_started_in_the_place_of_what_a_second_interrupt_killed(
    order: list[object], ends: list[type[BaseException]]
) -> None:
    ends.append(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        exits.run()
    exits.check_start()
    ends.append(KeyboardInterrupt)
    exits.run()
    assert "killed" in order
    with pytest.raises(OSError, match="interrupted twice"):
        exits.check_start()
