"""Results whose buffers travel beside their pickle: one block, which the parent takes over."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from procession import _core
from procession._codec import messages
from procession._core import Channel, Memory, decode_outcomes
from procession.errors.memory import ArenaFull
from tests.worker.apart import Entry, opened, pattern, sender

_SIZES = (
    [0],
    [1],
    [63, 64, 65],
    [4096, 0, 100_000],
    [1 << 20],
    [5_000_001, 3],
)


def _answers(body: bytes, *sizes: int) -> Callable[[Channel, int, int], None]:
    def serve(channel: Channel, number: int, _: int) -> None:
        parts = [pattern(at, size)[:size] for at, size in enumerate(sizes)]
        channel.answer(number, messages.VALUE, body, parts)

    return serve


@pytest.mark.parametrize("sizes", _SIZES, ids=str)
@pytest.mark.parametrize("length", [0, 1, 56, 70_000])
def test_a_result_arrives_whole_and_aligned(sizes: list[int], length: int) -> None:
    with sender(_answers(b"b" * length, *sizes)) as worker:
        worker.submit()
        number, kind, payload, _, _ = worker.arrived()
        assert (number, kind, type(payload)) == (1, messages.VALUE, Memory)
        body, buffers = opened(payload, sizes)
        assert body == b"b" * length
        assert buffers == [pattern(at, size)[:size] for at, size in enumerate(sizes)]
        assert worker.end() == 0


def test_no_parts_are_an_ordinary_payload() -> None:
    def serve(channel: Channel, number: int, _: int) -> None:
        channel.answer(number, messages.VALUE, b"plain" * 10_000, ())

    with sender(serve) as worker:
        worker.submit()
        assert worker.arrived()[1:3] == (messages.VALUE, b"plain" * 10_000)


def test_it_belongs_to_who_has_it() -> None:
    """Its bytes can be written, and its block is free as soon as the last view is gone."""
    with sender(_answers(b"", 300_000)) as worker:
        before = _core.arena_statistics()["blocks"]
        worker.submit()
        payload = worker.arrived()[2]
        assert _core.arena_statistics()["blocks"] == before + 1
        view = memoryview(payload)
        assert not view.readonly
        view[64:] = bytes(300_000)
        rest = view[100:200]
        del payload, view
        assert rest == bytes(100)
        assert _core.arena_statistics()["blocks"] == before + 1
        del rest
        assert _core.arena_statistics()["blocks"] == before
        assert _core.validate() is None


def test_it_outlives_its_maker_and_the_channel() -> None:
    with sender(_answers(b"left", 100_000)) as worker:
        worker.submit()
        payload = worker.arrived()[2]
        assert worker.end() == 0
    body, buffers = opened(payload, [100_000])
    assert body == b"left"
    assert buffers == [pattern(0, 100_000)[:100_000]]


def test_it_can_be_handed_on() -> None:
    with sender(_answers(b"", 100_000)) as worker:
        worker.submit()
        payload = worker.arrived()[2]
    again = pickle.loads(pickle.dumps(payload))
    assert again is payload


def test_an_entry_that_nobody_attends_gets_its_answer() -> None:
    with sender(_answers(b"", 100_000)) as worker:
        entry = worker.submit()
        entry.attend = False
        wakes = worker.channel.wakes()
        assert worker.channel.wait(entry, worker.open, worker.arrivals, None, wakes) is True
        assert entry.answer[0] == messages.VALUE
        assert opened(entry.answer[1], [100_000])[1] == [pattern(0, 100_000)[:100_000]]
        entry.answer = None


def test_what_nobody_wants_any_more_is_freed() -> None:
    with sender(_answers(b"", 100_000)) as worker:
        before = _core.arena_statistics()["blocks"]
        worker.submit()
        worker.open.clear()
        assert worker.end() == 0
        worker.channel.collect(worker.open, worker.arrivals)
        assert not worker.arrivals
        assert _core.arena_statistics()["blocks"] == before


@pytest.mark.parametrize("parts", [[1], 7, [b"good", memoryview(bytes(8))[::2]]], ids=repr)
def test_what_are_no_buffers_is_refused(parts: Any) -> None:
    """Then there can be another answer."""

    def serve(channel: Channel, number: int, _: int) -> None:
        try:
            channel.answer(number, messages.VALUE, b"body", parts)
        except (TypeError, BufferError) as error:
            channel.answer(number, messages.VALUE, type(error).__name__.encode())

    with sender(serve) as worker:
        before = _core.arena_statistics()["blocks"]
        worker.submit()
        assert worker.arrived()[2] in (b"TypeError", b"BufferError")
        assert _core.arena_statistics()["blocks"] == before


# ---- the items of a range


class _Large(int):
    """No simple outcome, so it is given to encode()."""


def test_items_go_apart_as_parts_of_their_own() -> None:
    def encode(value: _Large) -> Any:
        if value % 3 == 0:
            return pickle.dumps(-value)
        return pickle.dumps(value), [pattern(value, 70_000)[:70_000], b"end"]

    def serve(channel: Channel, number: int, items: int) -> None:
        channel.run(_Large, range(items), False, False, False, encode, repr)  # type: ignore[arg-type]

    values: dict[int, Any] = {}
    with sender(serve) as worker:
        worker.submit(8)
        while True:
            _, kind, payload, first, end = worker.arrived()
            assert kind & ~messages.PART == messages.OUTCOMES
            if isinstance(payload, Memory):
                body, buffers = opened(payload, [70_000, 3])
                assert buffers == [pattern(first, 70_000)[:70_000], b"end"]
                assert end == first + 1
                payload = body
            values.update(zip(range(first, end), _decoded(payload), strict=True))
            if not kind & messages.PART:
                break
        assert end == 8
        assert worker.end() == 0
    assert values == {at: at if at % 3 else -at for at in range(8)}


def _decoded(payload: Any) -> list[Any]:
    failures: list[Any] = []
    values = decode_outcomes(payload, pickle.loads, failures)
    assert not failures
    return values


@pytest.mark.parametrize(
    "made", [(b"body",), (b"body", 7), (b"body", [7]), ("body", []), (1, 2, 3)], ids=repr
)
def test_an_item_whose_encoding_is_wrong_fails_alone(made: Any) -> None:
    def serve(channel: Channel, number: int, items: int) -> None:
        channel.run(
            _Large, range(items), False, False, False,
            lambda value: made if value == 1 else pickle.dumps(int(value)),
            lambda error: type(error).__name__.encode(),
        )  # fmt: skip

    with sender(serve) as worker:
        worker.submit(3)
        _, kind, payload, first, end = worker.arrived()
        assert (kind, first, end) == (messages.OUTCOMES, 0, 3)
        failures: list[Any] = []
        assert decode_outcomes(payload, pickle.loads, failures) == [0, None, 2]
        assert failures == [(1, b"TypeError")]


def test_a_body_alone_is_one_outcome() -> None:
    failures: list[Any] = []
    assert decode_outcomes(pickle.dumps(["x"], 5), pickle.loads, failures) == [["x"]]

    def fails(_: Any) -> None:
        raise ValueError("no")

    assert decode_outcomes(pickle.dumps(1, 5), fails, failures) == [None]
    assert [(at, str(error)) for at, error in failures] == [(0, "no")]


def test_only_the_first_can_be_a_pickle_alone() -> None:
    with pytest.raises(ValueError, match="outcome 1 has an unknown tag, 128"):
        decode_outcomes(b"N" + pickle.dumps(1, 5), pickle.loads, [])


def test_many_of_them_wait_for_the_collector() -> None:
    """More than the ring has room for: the worker waits, and none is lost."""

    def serve(channel: Channel, number: int, _: int) -> None:
        channel.answer(number, messages.VALUE, b"", [number.to_bytes(8, "little") * 100])

    with sender(serve) as worker:
        entries: list[Entry] = [worker.submit() for _ in range(2000)]
        for entry in entries:
            number, _, payload, _, _ = worker.arrived()
            assert number == entry.number
            assert opened(payload, [800])[1] == [number.to_bytes(8, "little") * 100]
            del payload
        assert worker.end() == 0


def test_where_it_is_crowded_the_parent_gets_a_copy() -> None:
    """What somebody keeps must not fill the arena: more than half of the budget is in use."""
    was = _core.memory_budget()
    statistics = _core.arena_statistics()
    in_use = statistics["paged"] - statistics["warm_free"]
    _core.memory_budget(max(2 * in_use, 16 << 20))
    try:
        ballast = Memory(8 << 20)
        with sender(_answers(b"body", 400_000, 7)) as worker:
            before = _core.arena_statistics()["blocks"]
            worker.submit()
            payload = worker.arrived()[2]
            assert type(payload) is bytearray
            assert _core.arena_statistics()["blocks"] == before
            body, buffers = opened(payload, [400_000, 7])
            assert body == b"body"
            assert buffers == [pattern(0, 400_000)[:400_000], pattern(1, 7)[:7]]
        del ballast
    finally:
        _core.memory_budget(was)


def test_an_answer_larger_than_the_budget_is_refused() -> None:
    def serve(channel: Channel, number: int, _: int) -> None:
        try:
            channel.answer(number, messages.VALUE, b"body", [bytes(64 << 20)])
        except ArenaFull as error:
            channel.answer(number, messages.ERROR, str(error.asked >= 64 << 20).encode())

    was = _core.memory_budget()
    statistics = _core.arena_statistics()
    in_use = statistics["paged"] - statistics["warm_free"]
    try:
        with sender(serve) as worker:
            _core.memory_budget(in_use + (32 << 20))
            worker.submit()
            assert worker.arrived()[1:3] == (messages.ERROR, b"True")
            assert worker.end() == 0
    finally:
        _core.memory_budget(was)


def test_others_run_while_a_large_copy_is_made() -> None:
    """A thread that collects meanwhile waits until it is made, and finds the results behind it."""
    was = _core.memory_budget()
    statistics = _core.arena_statistics()
    in_use = statistics["paged"] - statistics["warm_free"]
    _core.memory_budget(max(2 * in_use, 256 << 20))
    size = 16 << 20
    try:
        ballast = Memory(128 << 20)
        with sender(_answers(b"", size)) as worker:
            entries = [worker.submit() for _ in range(4)]
            for entry in entries:
                entry.attend = False

            def wait(entry: Entry) -> None:
                wakes = worker.channel.wakes()
                while not worker.channel.wait(entry, worker.open, worker.arrivals, None, wakes):
                    wakes = worker.channel.wakes()

            threads = [threading.Thread(target=wait, args=(entry,)) for entry in entries]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for entry in entries:
                assert type(entry.answer[1]) is bytearray
                assert opened(entry.answer[1], [size])[1] == [pattern(0, size)[:size]]
                entry.answer = None
        del ballast
    finally:
        _core.memory_budget(was)
