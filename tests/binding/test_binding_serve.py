"""``Channel.serve``: simple calls are run by the core; all else is for Python.

Parent and worker are one process here, which takes a seat in its own channel.
"""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._codec import messages
from procession._core import Here
from procession._worker.state import Here as OurHere
from tests.binding.alone import Alone
from tests.binding.test_binding_collect import Entry

FUNCTION, CODE = 5, 0


class Bench(Alone):
    """A worker's loop, and what it is asked to do.

    Attributes:
        known: the functions.
        encoded: what was left to Python: (value, error).
        finished: the tasks that were answered there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Callable[..., Any]] = {}
        self.here = OurHere()
        self.unfinished: set[Any] = set()
        self.encoded: list[tuple[Any, BaseException | None]] = []
        self.finished: list[int] = []
        self.open: dict[int, Any] = {}
        self.last = 0

    def submit(
        self, payload: Any, kind: int = messages.CALL, function: int = FUNCTION, end: int = 1
    ) -> Entry:
        """Send a task; ``(args, kwds)``, or bytes as they are."""
        self.last += 1
        entry = Entry()
        pickled = payload if isinstance(payload, bytes) else pickle.dumps(payload, 5)
        self.channel.submit(entry, self.open, self.last, kind, function, CODE, pickled, 0, end)
        return entry

    def encode(self, value: Any, error: BaseException | None) -> tuple[int, bytes]:
        """What is not plain."""
        self.encoded.append((value, error))
        return messages.ERROR, b"encoded"

    def finish(self, number: int, answer: Any) -> None:
        """Answer with that, or when there is more to do."""
        self.finished.append(number)
        self.channel.answer(number, *answer)

    def serve(self) -> Any:
        """Until it returns."""
        return self.channel.serve(self.known, self.here, self.unfinished, self.encode, self.finish)

    def answer(self, entry: Entry) -> Any:
        """The kind and payload, once it is answered."""
        self.channel.collect(self.open, deque())
        return None if entry.answer is None else entry.answer[:2]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_calls_with_plain_arguments_are_run_and_answered(bench: Bench) -> None:
    bench.known[FUNCTION] = lambda *args, **kwds: (args, sorted(kwds.items()) and kwds["x"])
    entries = [bench.submit(((1, "a"), {"x": 2.5})), bench.submit(((), {}))]
    one = bench.submit(7, messages.CALL_ONE)
    bench.channel.close()
    assert bench.serve() is None
    values = [((1, "a"), 2.5), ((), []), ((7,), [])]
    assert bench.answer(entries[0]) == (messages.VALUE, pickle.dumps(values[0], 5))
    # A list is not plain.
    assert [value for value, _ in bench.encoded] == values[1:]
    assert bench.finished == [2, 3]
    assert bench.answer(entries[1]) == bench.answer(one) == (messages.ERROR, b"encoded")


@pytest.mark.parametrize(
    "task",
    [
        (((1,), {}), messages.CALL, FUNCTION + 1),
        (([1], {}), messages.CALL),
        (((1,), {}, 3), messages.CALL),
        ((1, {}), messages.CALL),
        (((1,), 1), messages.CALL),
        (1, messages.CALL),
        ((([1],), {}), messages.CALL),
        ((("a" * 70_000,), {}), messages.CALL),
        ([1], messages.CALL_ONE),
        (b"no pickle", messages.CALL),
        (((1,), {}), messages.CALL | messages.GUARDED),
        ((abs, (1,), {}), messages.CARRIED_CALL),
        ([1, 2], messages.MAP, FUNCTION, 2),
    ],
    ids=lambda task: repr(task)[:30],
)
def test_what_is_not_simple_is_returned_and_not_run(bench: Bench, task: Any) -> None:
    bench.known[FUNCTION] = lambda *_: pytest.fail("it was run")
    payload, kind, *more = task
    entry = bench.submit(payload, kind, *more)
    claimed = bench.serve()
    whole = payload if isinstance(payload, bytes) else pickle.dumps(payload, 5)
    assert claimed[:2] == (1, kind)
    assert claimed[2] == (more[0] if more else FUNCTION)
    assert bytes(claimed[4]) == whole
    assert bench.here.number == 0
    del claimed
    bench.channel.answer(1, messages.VALUE, b"by Python")
    assert bench.answer(entry) == (messages.VALUE, b"by Python")
    if entry.block:
        bench.channel.free(entry.block)


@pytest.mark.parametrize("error", [LookupError(1), KeyboardInterrupt(), SystemExit(3)])
def test_what_a_call_raises_is_for_python(bench: Bench, error: BaseException) -> None:
    def fail(_: int) -> None:
        raise error

    bench.known[FUNCTION] = fail
    bench.submit(1, messages.CALL_ONE)
    bench.channel.close()
    assert bench.serve() is None
    assert bench.encoded == [(None, error)]
    assert bench.finished == [1]
    trace = error.__traceback__
    assert isinstance(trace, types.TracebackType)
    assert trace.tb_frame.f_code is fail.__code__


def test_a_value_that_is_not_plain_is_for_python(bench: Bench) -> None:
    bench.known[FUNCTION] = lambda value: [value]
    bench.submit(1, messages.CALL_ONE)
    bench.channel.close()
    assert bench.serve() is None
    assert bench.encoded == [([1], None)]
    assert bench.finished == [1]


def test_what_has_begun_a_line_is_for_python(bench: Bench) -> None:
    bench.known[FUNCTION] = bench.unfinished.add
    entry = bench.submit(1, messages.CALL_ONE)
    bench.channel.close()
    assert bench.serve() is None
    assert (bench.encoded, bench.finished) == ([], [1])
    assert bench.answer(entry) == (messages.VALUE, pickle.dumps(None, 5))


def test_it_is_said_what_runs(bench: Bench) -> None:
    bench.known[9] = lambda: (bench.here.number, bench.here.function, bench.here.task_name())
    bench.here.known = bench.known
    bench.last = 40
    entry = bench.submit(((), {}), messages.CALL, 9)
    bench.channel.close()
    assert bench.serve() is None
    _, payload = bench.answer(entry)
    assert pickle.loads(payload) == (41, 9, bench.known[9].__qualname__)
    assert bench.here.number == 0


def test_python_has_its_turn_after_many(bench: Bench) -> None:
    bench.known[FUNCTION] = abs
    entries = [bench.submit(-at, messages.CALL_ONE) for at in range(1000)]
    bench.channel.close()
    turns = 0
    while bench.serve():
        turns += 1
    assert 10 <= turns <= 100
    answers = [pickle.loads(bench.answer(entry)[1]) for entry in entries]
    assert answers == list(range(1000))


def test_python_has_its_turn_when_modules_were_imported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a_module_of_this_test"
    bench.known[FUNCTION] = lambda _: monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for at in range(2):
        bench.submit(at, messages.CALL_ONE)
    bench.channel.close()
    assert bench.serve() is True
    assert len(bench.open) == 2
    bench.channel.collect(bench.open, deque())
    assert len(bench.open) == 1
    assert bench.serve() is None


def test_python_has_its_turn_after_a_long_one(bench: Bench) -> None:
    began = bench.channel.now_ns()

    def take_long(_: int) -> None:
        while bench.channel.now_ns() < began + 2_000_000:
            pass

    bench.known[FUNCTION] = take_long
    bench.submit(1, messages.CALL_ONE)
    assert bench.serve() is True


@pytest.mark.parametrize("where", ["encode", "finish"])
def test_what_python_raises_ends_it(bench: Bench, where: str) -> None:
    bench.known[FUNCTION] = lambda value: [value]
    bench.submit(1, messages.CALL_ONE)
    setattr(bench, where, lambda *_: sys.exit(4))
    with pytest.raises(SystemExit):
        bench.serve()


@pytest.mark.parametrize("raises", [False, True])
def test_what_a_call_leaves_is_gone_before_it_is_answered(bench: Bench, raises: bool) -> None:
    gone: list[bool] = []

    class Left:
        def __del__(self) -> None:
            gone.append(1 in bench.finished)

    def leave(_: int) -> Left:
        left = Left()
        if raises:
            raise LookupError
        return left

    bench.encode = lambda *_: (messages.ERROR, b"")  # type: ignore[method-assign]
    bench.known[FUNCTION] = leave
    bench.submit(1, messages.CALL_ONE)
    bench.channel.close()
    assert bench.serve() is None
    assert (gone, bench.finished) == ([False], [1])


@pytest.mark.parametrize("raises", [False, True])
def test_a_fork_of_the_worker_comes_to_its_end(bench: Bench, raises: bool) -> None:
    children = []

    def fork(_: int) -> int:
        pid = os.fork()
        if pid == 0 and raises:
            raise SystemExit(7)
        children.append(pid)
        return pid

    bench.known[FUNCTION] = fork
    bench.submit(1, messages.CALL_ONE)
    bench.channel.close()
    parent = os.getpid()
    try:
        done = bench.serve()
    except SystemExit as end:
        if os.getpid() != parent:
            os._exit(end.code or 0)  # type: ignore[arg-type]
        raise
    finally:
        if os.getpid() != parent:
            os._exit(99)
    assert done in (None, True)  # a fork may take long
    _, status = os.waitpid(children[0], 0)
    assert os.waitstatus_to_exitcode(status) == (7 if raises else 0)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ([], Here(), set(), print, print),
        ({}, object(), set(), print, print),
        ({}, Here(), [], print, print),
        ({}, Here(), set(), print),
    ],
)
def test_nonsense_is_refused(bench: Bench, arguments: Any) -> None:
    with pytest.raises(TypeError):
        bench.channel.serve(*arguments)
