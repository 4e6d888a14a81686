"""What becomes of a task that failed: every case of the table."""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import pytest

from procession._engine.policy import QUARANTINE, Failure, History, Verdict, after_failure


class Options(NamedTuple):
    """What a task's options say about failures."""

    retries: int = 0
    on_death: Literal["fail", "retry", "break"] | None = None


NOT_DEATHS = [Failure.RAISED, Failure.TIMED_OUT]
ON_DEATH: list[Literal["fail", "retry", "break"] | None] = [None, "fail", "retry", "break"]


def verdicts(failure: Failure, options: Options, times: int) -> list[Verdict]:
    """The verdicts for a task that always fails like this."""
    deaths = int(failure is Failure.DIED)
    return [
        after_failure(failure, History(run, run * deaths), options).verdict
        for run in range(1, times + 1)
    ]


@pytest.mark.parametrize("failure", NOT_DEATHS)
@pytest.mark.parametrize("on_death", ON_DEATH)
@pytest.mark.parametrize("retries", range(4))
def test_what_is_no_death_is_retried_as_often_as_was_said(
    failure: Failure, on_death: Literal["fail", "retry", "break"] | None, retries: int
) -> None:
    expected = [Verdict.RETRY] * retries + [Verdict.FAIL]
    assert verdicts(failure, Options(retries, on_death), retries + 1) == expected


@pytest.mark.parametrize("on_death", [None, "retry"])
@pytest.mark.parametrize("retries", range(1, 6))
def test_a_death_is_retried_as_often_as_was_said(
    on_death: Literal["retry"] | None, retries: int
) -> None:
    expected = [Verdict.RETRY] * retries + [Verdict.FAIL]
    assert verdicts(Failure.DIED, Options(retries, on_death), retries + 1) == expected


def test_a_death_fails_the_task_unless_something_else_was_asked_for() -> None:
    assert verdicts(Failure.DIED, Options(), 1) == [Verdict.FAIL]
    assert verdicts(Failure.DIED, Options(5, "fail"), 1) == [Verdict.FAIL]
    assert verdicts(Failure.DIED, Options(5, "break"), 1) == [Verdict.BREAK]


def test_deaths_without_a_number_of_retries_end_in_quarantine() -> None:
    options = Options(0, "retry")
    expected = [Verdict.RETRY] * (QUARANTINE - 1) + [Verdict.FAIL]
    assert verdicts(Failure.DIED, options, QUARANTINE) == expected
    ruling = after_failure(Failure.DIED, History(QUARANTINE, QUARANTINE), options)
    assert ruling == (Verdict.FAIL, True)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("on_death", ON_DEATH)
def test_every_task_ends(
    failure: Failure, on_death: Literal["fail", "retry", "break"] | None
) -> None:
    for retries in range(4):
        assert Verdict.RETRY not in verdicts(failure, Options(retries, on_death), 99)[retries + 3 :]


def test_only_who_killed_often_and_is_given_up_is_quarantined() -> None:
    for failure, runs, deaths, retries, on_death in itertools.product(
        Failure, range(1, 6), range(6), range(4), ON_DEATH
    ):
        ruling = after_failure(failure, History(runs, deaths), Options(retries, on_death))
        if ruling.quarantined:
            assert ruling.verdict is Verdict.FAIL
            assert failure is Failure.DIED
            assert deaths >= QUARANTINE
