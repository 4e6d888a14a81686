"""Arguments that can not be, told at once and by their names."""

from __future__ import annotations

from typing import Any

from procession._engine.crew import MOST_SEATS
from procession._launch.surroundings import whole


def check_flag(name: str, value: object) -> None:
    """Raises TypeError for what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_timeout(timeout: Any) -> None:
    """Raises TypeError for what is no time to wait. None is one, for callers to see to it."""
    try:
        float(0.0 + timeout)
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}") from None


def check_context(name: str, context: Any) -> None:
    """Raises TypeError for what is no context, as the name of a start method."""
    if context is None or callable(getattr(context, "get_start_method", None)):
        return
    advice = f"get_context({context!r})" if isinstance(context, str) else "what get_context() gives"
    raise TypeError(f"{name} must be a context object, not {context!r}: pass {advice}")


def worker_count(name: str, value: object, too_few: str) -> int:
    """How many workers are wanted.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is less than one, as `too_few` says, or more than there can be.
    """
    count = whole(name, value)
    if count < 1:
        raise ValueError(too_few)
    if count > MOST_SEATS:
        raise ValueError(f"{name} must be at most {MOST_SEATS}, not {count}")
    return count
