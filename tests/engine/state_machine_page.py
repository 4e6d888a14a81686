"""The page about the state machine, written from the code's own tables.

``python -m tests.engine.state_machine_page`` writes it anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from procession._engine.policy import QUARANTINE, Failure, History, Verdict, after_failure
from procession._engine.staffing import LIFE, MEANING, NEWS, PLACED, Event, Life

PAGE = Path(__file__).parents[2] / "docs/design/state-machine.md"

_HEAD = """\
# The state machine

What becomes of tasks and workers when something goes wrong is decided by pure functions: facts
in, instructions out, no clock, no threads, no I/O. This page is written from their tables by
`tests/engine/state_machine_page.py`; a test holds it to them. Do not edit it by hand.
"""

_TASKS = """
## A task that failed

`_engine.policy.after_failure` is asked whenever a task, or an item of a map, has failed. It
*raised* (a `TaskTimeout` that was raised inside counts as that), it *timed out* (we killed its
worker), or its worker *died* under it. What was certainly not started is sent again without
asking, and costs no retry. "Retry 2" means: run again, at most twice.
"""

_LIFE = """
## A worker's life

`_engine.staffing.LIFE`. What a worker says of itself may come late or twice, and changes nothing
then ({news}).
Everything else that is not in the table can not happen, and is an error.
"""

_PLAN = f"""
## The plan for a crew

`_engine.staffing.plan` looks at all seats at once. A *place* is the right to run tasks, and a
pool of n workers has n of them. Workers in these states have one:
{{placed}}. Who was killed has none; who is on the bench,
or on its way there, waits for one. After each event the plan is asked, and its orders are carried
out:

1. A pool that is broken or terminating, or closing without work left, hires and lets go nobody.
2. Too many false starts (workers that ended before they were ready, without one that got ready in
   between): break the pool. So a failing initializer is reported once, and no worker is started
   again and again.
3. More places are taken than are wanted: let go those who were to retire anyway, then the highest
   seats.
4. Places are free: activate who is warm on the bench, lowest seat first; then who is on the way
   there.
5. Somebody retires, and somebody is warm who waits for no other place: let the retiring one go.
   Its successor gets the place when it has ended, so a pool of n never runs more than n tasks at
   once.
6. Hire for what is missing: for places that are free now, to serve; for places that will be free,
   and for the spare, for the bench. Let go who is too many there.

A warm spare is kept once a time-out is in use, a running task was cancelled, or a worker has died
(unless memory was short): who is killed is replaced at once. The next spare is hired a moment after
that, for it is not urgent. A task that was quarantined has killed {QUARANTINE} workers.
"""


ON_DEATH: tuple[Literal["fail", "retry", "break"] | None, ...] = (None, "fail", "retry", "break")


class _Options(NamedTuple):
    retries: int
    on_death: Literal["fail", "retry", "break"] | None


def page() -> str:
    """The whole text."""
    return "".join(
        [
            _HEAD,
            _TASKS,
            "\n",
            *_table(["`on_death`", "`retries`", *(f.value for f in Failure)], _task_rows()),
            _LIFE.format(news=" and ".join(f'"{news.value}"' for news in Event if news in NEWS)),
            "\n",
            *_table(["state", "meaning"], ([life.value, MEANING[life]] for life in Life)),
            "\n",
            *_table(["state", "event", "next state"], _life_rows()),
            "\n",
            *_diagram(),
            _PLAN.format(placed="; ".join(life.value for life in Life if life in PLACED)),
        ]
    )


def _task_rows() -> Iterable[list[str]]:
    for on_death, retries in itertools.product(ON_DEATH, (0, 2)):
        options = _Options(retries, on_death)
        yield [
            "not given" if on_death is None else f'"{on_death}"',
            f"{retries}",
            *(_in_words(failure, options) for failure in Failure),
        ]


def _in_words(failure: Failure, options: _Options) -> str:
    """What becomes of a task that fails like this each time."""
    for run in itertools.count(1):
        history = History(run, run if failure is Failure.DIED else 0)
        ruling = after_failure(failure, history, options)
        if ruling.verdict is not Verdict.RETRY:
            end = "quarantine" if ruling.quarantined else ruling.verdict.value
            return f"retry {run - 1}, then {end}" if run > 1 else end
    raise AssertionError


def _life_rows() -> Iterable[list[str]]:
    for (life, event), following in LIFE.items():
        yield [life.value, event.value, following.value]


def _diagram() -> Iterable[str]:
    yield "```mermaid\nstateDiagram-v2\n"
    for life in Life:
        yield f'    state "{life.value}" as {life.name}\n'
    for (life, event), following in LIFE.items():
        if event not in (Event.KILLED, Event.ENDED) or life in (Life.SERVING, Life.LEAVING):
            yield f"    {life.name} --> {following.name}: {event.value}\n"
    yield "```\n\nNot in the picture: a worker can be killed, and can end, in every state.\n"


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterable[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
