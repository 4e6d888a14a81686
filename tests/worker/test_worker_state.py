"""Which worker this is, and what it runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from procession._worker.state import Here, here, worker_id, worker_state


def convert() -> None:
    """Gives a task its name."""


@pytest.mark.parametrize("ask", [worker_id, worker_state])
def test_outside_of_a_worker_there_is_no_answer(ask: Any) -> None:
    with pytest.raises(RuntimeError, match="no worker of a pool") as caught:
        ask()
    assert ask.__name__ in str(caught.value)


def test_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "seat", 3)
    assert worker_id() == 3
    assert worker_state() is None
    monkeypatch.setattr(here, "state", ["made by the initializer"])
    assert worker_state() == ["made by the initializer"]


def test_a_task_is_named_by_its_function() -> None:
    mine = Here()
    assert mine.tag() == ""
    assert mine.task() is None
    mine.seat, mine.known = 1, {4: convert}
    assert mine.tag() == "[worker 1] "
    mine.number, mine.function = 17, 4
    assert mine.task() == "convert#17"
    assert mine.tag() == "[worker 1 task convert#17] "
    carried = partial(convert)
    mine.function, mine.carried = 0, carried
    assert mine.task() == "convert#17"
    mine.carried = object()
    assert mine.task() == "a task#17"
    mine.leave()
    assert mine.tag() == ""
