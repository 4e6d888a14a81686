"""Outcomes that travel as they are: plain values of a chunk, as one list."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from procession._backends.remote import Request, run
from procession._codec import messages
from procession._codec.given import GivenOutcomes
from procession._codec.objects import dumps


@pytest.mark.parametrize(
    "values",
    [[], [1, -5, 2**40], [0.5, float("inf")], [2**80, 1], [1, 2.0, "x", None, True]],
    ids=["none", "integers", "floats", "large", "mixed"],
)
def test_plain_values_come_back_the_same(values: list[Any]) -> None:
    found = pickle.loads(pickle.dumps(GivenOutcomes(values, {}), 5))
    assert found.values == values
    assert [type(value) for value in found.values] == [type(value) for value in values]
    assert found.failures == {}


def test_failures_come_with_them() -> None:
    found = pickle.loads(pickle.dumps(GivenOutcomes([1, None], {1: KeyError("x")}), 5))
    assert found.values == [1, None]
    assert repr(found.failures) == "{1: KeyError('x')}"


def _payload(items: list[Any]) -> Any:
    request = Request("token", messages.MAP, 1, dumps(abs), dumps(items), 0, len(items))
    response = run(request)
    assert (response.kind, response.first, response.end) == (messages.OUTCOMES, 0, len(items))
    return response.payload


def test_a_chunk_of_plain_results_is_one_list() -> None:
    assert _payload([-1, 2, -3.5]).values == [1, 2, 3.5]


def test_a_result_that_may_change_is_encoded_at_once() -> None:
    assert type(_payload([-1, 3 + 4j, _Mirror()])) is bytes


class _Mirror:
    """Its absolute value is a list."""

    def __abs__(self) -> list[int]:
        return [1]


@pytest.mark.parametrize("what", [messages.CALL, messages.MAP])
def test_an_engine_that_ends_its_worker_gets_no_outcome(what: int) -> None:
    """Ray does so with an exception in the midst of a task; it is a death, and may be retried."""
    for is_engines in (False, True):
        end = SystemExit(1)
        payload = dumps(((end,), {}) if what == messages.CALL else [end])
        request = Request(
            "token", what, 2 + is_engines, dumps(partial(_ended_by, is_engines)), payload, 0, 1
        )
        if is_engines:
            with pytest.raises(SystemExit):
                run(request)
        else:
            assert run(request).kind in (messages.ERROR, messages.OUTCOMES)


def _ended_by(is_engines: bool, end: SystemExit) -> None:
    if is_engines:
        end.ray_terminate_msg = "SIGTERM"  # type: ignore[attr-defined]
    raise end
