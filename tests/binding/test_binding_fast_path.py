"""``FastPath``: a simple call in one step, or nothing done."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _core
from procession._core import INLINE_LIMIT, LEAST_APART, Channel, FastPath, Ledger
from procession._engine.entries import Task
from procession._engine.options import PLAIN, Options
from tests.binding.alone import Alone
from tests.binding.test_binding_collect import Entry

SENT = (7, 9)


class Raises:
    """Raises this while it is pickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def __reduce__(self) -> Any:
        self.asked += 1
        raise self.error


class Bench(Alone):
    """What sends to a channel."""

    def __init__(self) -> None:
        super().__init__(1 << 16)
        self.ledger = Ledger()
        self.by_name = {id(abs): SENT}
        self.fast = FastPath(self.channel, self.ledger, self.by_name)
        self.fast.is_running = True

    def send(self, arguments: Any) -> tuple[Any, Any]:
        """What came of it, and the entry."""
        entry = Entry()
        return self.fast.send(entry, SENT, arguments), entry

    def make(
        self, function: Any = abs, args: Any = (1,), kwds: Any = (), options: Any = PLAIN
    ) -> Task | None:
        """The entry, if it was sent."""
        return self.fast.make(Task, self, function, options, args, {} if kwds == () else kwds)

    def collect(self) -> None:
        """Hand out what was answered."""
        self.channel.collect(self.ledger.open, deque())


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


# ---- an entry that is there already


def test_it_is_sent_and_the_entry_knows_all(bench: Bench) -> None:
    went, entry = bench.send(((1, "a"), {"x": 2.5}))
    assert went is True
    assert bench.ledger.open == {1: entry}
    assert (entry.number, entry.kind, entry.sent, entry.block) == (1, 0, SENT, 0)
    assert pickle.loads(entry.payload) == ((1, "a"), {"x": 2.5})
    task = bench.channel.claim()
    assert task is not None
    number, kind, function, code, payload, first, end = task
    assert (number, kind, function, code, first, end) == (1, 0, *SENT, 0, 1)
    assert payload == entry.payload
    bench.channel.answer(1, 0, b"answer")
    bench.collect()
    assert (bench.ledger.open, entry.answer[:2]) == ({}, (0, b"answer"))


def test_its_place_is_that_to_take_it_back_from(bench: Bench) -> None:
    _, entry = bench.send(())
    assert bench.channel.revoke_at(1, entry.position) is True


def test_what_is_too_large_for_a_record_is_pickled_only(bench: Bench) -> None:
    made, entry = bench.send("a" * INLINE_LIMIT)
    assert pickle.loads(made) == "a" * INLINE_LIMIT
    assert (bench.ledger.open, vars(entry)) == ({}, {})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (bytes(LEAST_APART), False),
        (lambda: 1, None),
        ((one for one in "ab"), None),
        (Raises(TypeError("no")), None),
    ],
)
def test_what_is_not_simple_is_left_to_others(bench: Bench, arguments: Any, told: Any) -> None:
    made, entry = bench.send((arguments, {}))
    assert made is told
    assert (bench.ledger.open, vars(entry)) == ({}, {})


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_raised_meanwhile_is_raised_once(bench: Bench, error: BaseException) -> None:
    arguments = Raises(error)
    with pytest.raises(type(error)):
        bench.send(arguments)
    assert arguments.asked == 1


def test_a_full_ring_takes_nothing(bench: Bench) -> None:
    text = "a" * (INLINE_LIMIT // 2)
    sent = 0
    while (made := bench.send(text)[0]) is True:
        sent += 1
    assert pickle.loads(made or b"") == text
    assert list(bench.ledger.open) == list(range(1, sent + 1))
    assert sent > 3


def test_after_the_end_nothing_is_sent(bench: Bench) -> None:
    bench.channel.release()
    other = Channel(1, 1 << 16, 1 << 16, 1, bench.bell)  # where the other one was
    made, _ = bench.send((1,))
    assert pickle.loads(made) == (1,)
    assert bench.make() is None
    assert bench.ledger.open == {}
    other.sit(0)
    other.close()
    assert other.claim() is None
    other.release()


@pytest.mark.parametrize("arguments", [(), (Entry(), SENT), (Entry(), (1,), ()), (Entry(), 5, ())])
def test_nonsense_is_refused(bench: Bench, arguments: Any) -> None:
    with pytest.raises(TypeError):
        bench.fast.send(*arguments)
    with pytest.raises(TypeError):
        bench.fast.make(*arguments)
    assert bench.ledger.open == {}


def test_what_takes_no_attributes_is_no_entry(bench: Bench) -> None:
    with pytest.raises(AttributeError):
        bench.fast.send(object(), SENT, ())
    for kind in (Entry, object, _core.Entry):
        with pytest.raises(TypeError):
            bench.fast.make(kind, None, abs, PLAIN, (), {})  # type: ignore[type-var]
    assert bench.ledger.open == {}


# ---- one that is made


def test_it_is_made_as_its_class_makes_it_and_sent(bench: Bench) -> None:
    task = bench.make(args=(1, "a"), kwds={"x": 2.5})
    other = Task(bench, abs, PLAIN)
    assert task is not None
    names = ["_owner", "function", "options", "answer", "attend", "_decoded", "callback"]
    assert [getattr(task, name) for name in names] == [getattr(other, name) for name in names]
    assert (task.number, task.kind, task.sent, task.block) == (1, 0, SENT, 0)
    assert bench.ledger.open == {1: task}
    assert pickle.loads(task.payload) == ((1, "a"), {"x": 2.5})
    claimed = bench.channel.claim()
    assert claimed is not None
    assert claimed[:4] == (1, 0, *SENT)
    assert claimed[4] == task.payload
    bench.channel.answer(1, 0, pickle.dumps(5))
    bench.collect()
    assert bench.ledger.open == {}
    assert task.outcome() == (True, 5)


def test_its_place_is_told(bench: Bench) -> None:
    task = bench.make()
    assert task is not None
    assert bench.channel.revoke_at(1, task.position) is True


@pytest.mark.parametrize(
    "call",
    [
        {"function": len},
        {"args": [1]},
        {"args": ([1],)},
        {"args": ("a" * 1000,)},
        {"args": (object(),)},
        {"args": (Raises(KeyboardInterrupt()),)},
        {"kwds": {"x": [1]}},
        {"kwds": None},
        {"options": Options(retries=1)},
    ],
)
def test_what_is_not_that_simple_is_left_to_others(bench: Bench, call: Any) -> None:
    assert bench.make(**call) is None
    assert bench.ledger.open == {}
    assert bench.ledger.last == 0


def test_options_are_asked_once(bench: Bench) -> None:
    class Asked:
        times = 0

        @property
        def is_plain(self) -> bool:
            self.times += 1
            return self is not other

    options, other = Asked(), Asked()
    for _ in range(2):
        assert bench.make(options=options) is not None
        assert bench.make(options=other) is None
    assert (options.times, other.times) == (1, 2)


@pytest.mark.parametrize("flags", [(False, False), (True, True), (False, True)])
def test_nothing_is_sent_while_the_pool_takes_no_work_or_has_to_be_told(
    bench: Bench, flags: tuple[bool, bool]
) -> None:
    bench.fast.is_running, bench.fast.is_shrunk = flags
    assert bench.make() is None
    assert bench.ledger.open == {}
    bench.fast.is_running, bench.fast.is_shrunk = True, False
    assert bench.make() is not None


def test_garbage_that_ends_the_pool_comes_in_time(bench: Bench) -> None:
    class Ends:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            bench.fast.is_running = False

    sent = 0
    old = gc.get_threshold()
    gc.collect()
    try:
        gc.set_threshold(1)  # so it is collected where something is made
        Ends()
        while bench.fast.is_running:
            sent += bench.make() is not None
            assert len(bench.ledger.open) == sent
    finally:
        gc.set_threshold(*old)
    assert len(bench.ledger.open) == sent


def test_a_full_ring_takes_none_that_was_made(bench: Bench) -> None:
    sent = 0
    while (task := bench.make(args=("a" * 200,))) is not None:
        sent += 1
        assert bench.ledger.open[task.number] is task
    assert len(bench.ledger.open) == sent
    assert sent > 3


def test_one_that_leads_to_itself_is_collected() -> None:
    bench = Bench()
    assert bench.make() is not None
    gone = weakref.ref(bench)
    bench.by_name[0] = bench  # type: ignore[assignment]
    bench.close()
    del bench
    gc.collect()
    assert gone() is None


# ---- the ledger


def test_a_ledger_counts_and_keeps() -> None:
    ledger = Ledger()
    assert (ledger.last, ledger.open) == (0, {})
    assert [ledger.next_number() for _ in range(3)] == [1, 2, 3]
    assert ledger.last == 3
    for name in ("last", "open"):
        with pytest.raises(AttributeError):
            setattr(ledger, name, {})
