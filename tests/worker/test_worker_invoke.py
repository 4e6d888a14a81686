"""What a worker makes of each kind of task."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from procession._codec import messages
from procession._codec.buffers import dumps_items
from procession._codec.fingerprints import quick_fingerprint
from procession._codec.functions import CARRIED, Sent
from procession._codec.items import joined
from procession._codec.objects import dumps, loads
from procession._core import decode_outcomes
from procession.errors.pool import MaybeEncodingError, RemoteTraceback
from tests.worker.driving import Driven, driven


@pytest.fixture
def worker() -> Iterator[Driven]:
    """A worker that is ready."""
    with driven() as worker:
        yield worker
        assert worker.end() == 0


def _add(one: Any, two: Any = 100) -> Any:
    return one + two


def _odd_fails(x: int) -> int:
    if x % 2:
        raise LookupError(x)
    return x


def _exit(x: int) -> int:
    raise SystemExit(x)


def _stop_iterating(x: int) -> int:
    raise StopIteration(x)


def _give(what: str) -> Any:
    return {"lock": threading.Lock(), "text": "t" * 40_000, "tuple": (1, "a"), "lambda": _add}[what]


class NotHere:
    """Can not be unpickled by the worker."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise OSError("not here")


SINGLE = [
    pytest.param(messages.CALL, ((1, 2), {}), id="call"),
    pytest.param(messages.CALL, ((1,), {"two": 2}), id="call with keywords"),
    pytest.param(messages.STAR_ONE, (1, 2), id="one tuple"),
    pytest.param(messages.CARRIED_CALL, ((1, 2), {}), id="carried"),
]
FLAGS = [0, messages.TIMED, messages.GUARDED, messages.TIMED | messages.GUARDED]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(("kind", "content"), SINGLE)
def test_a_single_call(worker: Driven, kind: int, content: Any, flags: int) -> None:
    function = partial(_add) if kind == messages.CARRIED_CALL else _add
    number = worker.send(kind | flags, function, content)
    news = worker.next()
    assert (news.number, news.value) == (number, 3)


@pytest.mark.parametrize("flags", FLAGS)
def test_one_argument(worker: Driven, flags: int) -> None:
    worker.send(messages.CALL_ONE | flags, _add, 1)
    assert worker.next().value == 101


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("function", [_odd_fails, _exit, _stop_iterating])
def test_what_a_call_raises_is_its_answer(worker: Driven, function: Any, flags: int) -> None:
    worker.call(function, 3, flags=flags)
    error = worker.next().error
    expected = {_odd_fails: LookupError, _exit: SystemExit, _stop_iterating: StopIteration}
    assert type(error) is expected[function]
    assert error.args == (3,)
    _shows_the_user_s_lines_only(error, function.__name__)
    worker.call(abs, -1, flags=flags)
    assert worker.next().value == 1


def _shows_the_user_s_lines_only(error: BaseException, name: str) -> None:
    assert isinstance(error.__cause__, RemoteTraceback)
    lines = [line for line in str(error.__cause__).splitlines() if line.startswith("  File ")]
    assert len(lines) == 1
    assert lines[0].endswith(f"in {name}")


@pytest.mark.parametrize("flags", [0, messages.GUARDED])
def test_a_result_that_can_not_be_pickled(worker: Driven, flags: int) -> None:
    worker.call(_give, "lock", flags=flags)
    error = worker.next().error
    assert type(error) is MaybeEncodingError
    assert "_worker" not in str(error.__cause__)


def test_each_item_has_its_outcome(worker: Driven) -> None:
    number = worker.each(_odd_fails, list(range(6)))
    news = worker.next()
    assert (news.number, news.kind, news.first, news.end) == (number, messages.OUTCOMES, 0, 6)
    outcomes = news.outcomes
    assert outcomes[0::2] == [0, 2, 4]
    assert [error.args for error in outcomes[1::2]] == [(1,), (3,), (5,)]
    _shows_the_user_s_lines_only(outcomes[1], "_odd_fails")


def test_a_map_stops_at_its_first_error(worker: Driven) -> None:
    worker.send(messages.MAP, _odd_fails, [0, 2, 4, 5, 6, 7], 0, 6)
    news = worker.next()
    assert (news.kind, news.first, news.end) == (messages.OUTCOMES, 0, 4)
    assert news.outcomes[:3] == [0, 2, 4]
    assert news.outcomes[3].args == (5,)


@pytest.mark.parametrize("kind", [messages.STARMAP, messages.STAREACH])
def test_tuples_of_arguments(worker: Driven, kind: int) -> None:
    worker.send(kind, _add, [(1, 2), (3,), ("a", "b")], 0, 3)
    assert worker.next().outcomes == [3, 103, "ab"]


def test_what_is_no_tuple_is_its_item_s_error(worker: Driven) -> None:
    worker.send(messages.STAREACH, _add, [(1, 2), 3, (4, 5)], 0, 3)
    one, two, three = worker.next().outcomes
    assert (one, three) == (3, 9)
    assert type(two) is TypeError


@pytest.mark.parametrize(("first", "end"), [(0, 3), (2, 5), (9, 10), (0, 10)])
def test_a_range_of_the_payload_is_run(worker: Driven, first: int, end: int) -> None:
    worker.send(messages.EACH, _add, list(range(10)), first, end)
    news = worker.next()
    assert (news.first, news.end) == (first, end)
    assert news.outcomes == [100 + x for x in range(first, end)]


@pytest.mark.parametrize("flags", FLAGS)
def test_flags_change_no_outcome(worker: Driven, flags: int) -> None:
    worker.each(_add, [1, 2, 3], flags)
    assert worker.next().outcomes == [101, 102, 103]


def test_exits_and_ends_of_iterations_are_outcomes(worker: Driven) -> None:
    for function, kind in ((_exit, SystemExit), (_stop_iterating, StopIteration)):
        worker.each(function, [1, 2])
        outcomes = worker.next().outcomes
        assert [(type(error), error.args) for error in outcomes] == [(kind, (1,)), (kind, (2,))]


def test_results_of_any_kind(worker: Driven) -> None:
    worker.each(_give, ["tuple", "lock", "lambda", "unknown", "tuple"])
    one, two, three, four, five = worker.next().outcomes
    assert one == five == (1, "a")
    assert type(two) is MaybeEncodingError
    assert "_thread.lock" in two.value
    assert "procession/_worker" not in str(two.__cause__)
    assert three is _add
    assert type(four) is KeyError


def test_large_results_come_in_parts(worker: Driven) -> None:
    number = worker.each(_give, ["tuple", "text", "text", "tuple"])
    found: list[Any] = []
    while True:
        news = worker.next()
        assert (news.number, news.first) == (number, len(found))
        found += news.outcomes
        if not news.kind & messages.PART:
            break
    assert found == [(1, "a"), "t" * 40_000, "t" * 40_000, (1, "a")]


@pytest.mark.parametrize("kind", [messages.CALL_ONE, messages.EACH])
def test_arguments_that_do_not_load_are_the_task_s_error(worker: Driven, kind: int) -> None:
    content = NotHere() if kind == messages.CALL_ONE else [1, NotHere()]
    worker.send(kind, _add, content, 0, 1 if kind == messages.CALL_ONE else 2)
    error = worker.next().error
    assert type(error) is OSError
    worker.call(abs, -1)
    assert worker.next().value == 1


@pytest.mark.parametrize(("kind", "content"), [(messages.CALL, ((1,), {})), (messages.EACH, [1])])
def test_a_function_that_is_not_known_is_asked_for(worker: Driven, kind: int, content: Any) -> None:
    published = worker.functions.publish(_add, 0)
    assert published is not None
    other = worker.functions.publish_content(b"of another function")
    # Its block is somebody else's by now.
    worker.submit(kind, Sent(published.number, other.code), dumps(content))
    assert worker.next().kind == messages.BY_VALUE
    worker.channel.free(other.code)


def test_what_the_main_module_lacks_is_told(worker: Driven) -> None:
    sent = worker.functions.publish(_add, 0)
    assert sent is not None
    payload = b"\x80\x05c__main__\nNothingOfThisName\n."
    with pytest.raises(AttributeError):
        loads(payload)
    worker.submit(messages.CALL_ONE, sent, payload)
    news = worker.next()
    assert news.kind == messages.ARGUMENTS_BY_VALUE
    assert type(news.error) is AttributeError


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("kind", [messages.EACH, messages.MAP, messages.CALL_ONE])
def test_a_callable_with_a_state_that_the_main_module_lacks_is_asked_for_by_value(
    worker: Driven, kind: int, each: bool
) -> None:
    lacking = dumps((b"\x80\x05c__main__\nNothingOfThisName\n.", 0))
    sent = worker.functions.publish_content(lacking)
    sent = sent.for_each() if each else sent
    items = dumps(7) if kind == messages.CALL_ONE else dumps_items([7, 8], each=False)
    worker.submit(kind, sent, items, 0, 1 if kind == messages.CALL_ONE else 2)
    assert worker.next().kind == messages.BY_VALUE


@pytest.mark.parametrize("expected", ["right", "wrong"])
def test_a_carried_callable_of_other_code_is_asked_for_by_value(
    worker: Driven, expected: str
) -> None:
    call = partial(_add, 1)
    number = quick_fingerprint(call) + (expected == "wrong")
    worker.submit(messages.CARRIED_CALL, CARRIED, dumps((number, call, (2,), {})))
    news = worker.next()
    if expected == "right":
        assert news.value == 3
    else:
        assert news.kind == messages.ARGUMENTS_BY_VALUE
        assert type(news.error) is RuntimeError


class Odd:
    """Pickled each for itself, as an item."""

    def __reduce__(self) -> Any:
        return Odd, ()


def _each_apart(items: list[Any]) -> bytes:
    return dumps_items([(item, Odd()) for item in items], each=True)


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def test_one_of_many_that_does_not_load_fails_alone(worker: Driven) -> None:
    sent = worker.functions.publish(_first, 0)
    assert sent is not None
    worker.submit(messages.EACH, sent, _each_apart([1, NotHere(), 3, 4]), 0, 3)
    one, two, three = worker.next().outcomes
    assert (one, type(two), three) == (1, OSError, 3)


def test_what_the_main_module_lacks_is_told_behind_what_was_done(worker: Driven) -> None:
    sent = worker.functions.publish(_first, 0)
    assert sent is not None
    lacking = b"\x80\x05c__main__\nNothingOfThisName\n."
    payload = joined([dumps((1, 0)), dumps((2, 0)), lacking, dumps((4, 0))])
    number = worker.submit(messages.EACH, sent, payload, 0, 4)
    news = worker.next()
    assert (news.number, news.kind & messages.PART) == (number, messages.PART)
    assert (news.first, news.end, news.outcomes) == (0, 2, [1, 2])
    news = worker.next()
    assert (news.number, news.kind) == (number, messages.ARGUMENTS_BY_VALUE)
    assert type(news.error) is AttributeError
    worker.submit(messages.EACH, sent, _each_apart([5]), 0, 1)
    assert worker.next().outcomes == [5]


def _kill_at(what: str) -> Any:
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return _give(what)


@pytest.mark.parametrize("kind", [messages.EACH, messages.MAP])
def test_what_was_finished_before_a_death_is_there(kind: int) -> None:
    with driven() as worker:
        items = ["tuple", "lambda", "kill", "tuple"]
        number = worker.send(kind | messages.TIMED, _kill_at, items, 0, 4)
        assert worker.ended() == -signal.SIGKILL
        remains = worker.channel.bury(0)
        assert remains is not None
        assert remains[:6] == (number, True, 3, 4, 2, 0)
        failures: list[Any] = []
        assert decode_outcomes(remains[6], loads, failures) == [(1, "a"), _add]
        assert not failures
