"""What a task gets that can not be run any more, because its pool was terminated or is broken."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from procession._codec.exceptions import decode_exception
from procession._engine.policy import PoolState
from procession.errors.backend import EngineLost
from procession.errors.pool import InitializerFailed, PoolTerminated, WorkerDied

Cause = BaseException | bytes | None
"""Why a pool is broken: an exception, perhaps still encoded."""


def end_error(state: PoolState, cause: Cause) -> Exception:
    """The error, one for each task. Runs no code of the user's: see ``completed``."""
    if state is not PoolState.BROKEN:
        return PoolTerminated("the pool was terminated before this task was answered")
    if isinstance(cause, WorkerDied):
        broken = BrokenProcessPool(
            "a task has killed its worker, and the pool was asked to break then "
            '(on_death="break"); the cause says which task'
        )
        broken.__cause__ = cause
        return broken
    if isinstance(cause, EngineLost):
        lost = EngineLost(*cause.args)
        lost.__cause__ = cause.__cause__
        return lost
    error = InitializerFailed(
        "the pool can not start its workers: the initializer raised, or they end before they "
        "are ready"
    )
    if isinstance(cause, bytes):
        error.encoded_cause = cause
    else:
        error.__cause__ = cause
    return error


def completed(error: BaseException) -> BaseException:
    """The error with its cause decoded, which runs code of the user's; for who raises it."""
    if isinstance(error, InitializerFailed) and error.encoded_cause is not None:
        error.__cause__ = decode_exception(error.encoded_cause)
        error.encoded_cause = None
    return error
